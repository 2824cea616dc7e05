import { type ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { type Made, providerSettings, renew } from '../api/delegation-support.ts'
import { wideLimits } from '../api/support.ts'
import { compilePrograms, type Programs, startProgram } from '../support/programs.ts'
import { AUDIENCE, testConfiguration } from '../support/service.ts'

let directory = ''
let programs: Programs | undefined
let provider: IdentityProvider

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tts-delegation-kill-'))
  programs = compilePrograms(['test/faults/kill-entry.ts'])
  provider = await startIdentityProvider({ tokens: { includeAuthnInfo: true } })
  writeFileSync(
    join(directory, 'tts.yaml'),
    stringify({
      ...testConfiguration(provider),
      providers: { iam: providerSettings(provider) },
      data_dir: join(directory, 'data'),
      ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
      limits: wideLimits,
    }),
    { mode: 0o600 },
  )
})
afterAll(async () => {
  programs?.remove()
  await provider.close()
  rmSync(directory, { recursive: true, force: true })
})

interface Running {
  readonly child: ChildProcess
  readonly url: string
  readonly ended: Promise<unknown>
}

async function start(): Promise<Running> {
  const entry = programs?.path('test/faults/kill-entry.ts') ?? ''
  const started = startProgram(entry, [join(directory, 'tts.yaml')])
  const [url = ''] = await started.says(/http:\S+/)
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if ((await fetch(`${url}/readyz`)).ok) break
    await sleep(10)
  }
  return { child: started.child, url, ended: started.ended }
}

async function kill({ child, ended }: Running): Promise<void> {
  child.kill('SIGKILL')
  expect(await ended).toBe('SIGKILL')
}

async function delegate(url: string): Promise<Made> {
  const { issuer } = provider
  const login = { issuer, clientId: 'demo-cli', username: 'alice', scope: 'openid profile' }
  const token = (await obtainAccessToken({ ...login, audience: AUDIENCE })).access_token
  const response = await fetch(`${url}/v1/delegations`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
  })
  expect(response.status).toBe(201)
  return (await response.json()) as Made
}

/** Kills the service while it renews, at a moment that is different each time; then asks the next one. */
async function killedWhileRenewing(
  rounds: number,
): Promise<readonly { status: number; text: string }[]> {
  const outcomes: { status: number; text: string }[] = []
  let made: Made | undefined
  for (let round = 0; round < rounds; round += 1) {
    const before = await start()
    made ??= await delegate(before.url)
    expect((await renew(before, made)).status).toBe(200)
    provider.faults.set('/token', { kind: 'slow', delayMs: randomInt(0, 40) })
    const renewal = renew(before, made).catch(() => undefined)
    await sleep(randomInt(5, 90))
    await kill(before)
    await renewal
    provider.faults.clear()

    const after = await start()
    const response = await renew(after, made)
    const text = await response.text()
    outcomes.push({ status: response.status, text })
    if (response.status !== 200) made = undefined
    await kill(after)
  }
  return outcomes
}

test('with a provider that repeats its refresh token: it always goes on', async () => {
  provider.tokens.rotateRefreshTokens = false
  const outcomes = await killedWhileRenewing(2)
  expect(outcomes.map(({ status }) => status)).toEqual([200, 200])
})

test('with rotation and a grace period, as the WLCG profile advises: it always goes on', async () => {
  Object.assign(provider.tokens, { rotateRefreshTokens: true, rotationGraceSeconds: 3600 })
  const outcomes = await killedWhileRenewing(4)
  expect(outcomes.map(({ status }) => status)).toEqual([200, 200, 200, 200])
})

test('with rotation and no grace: it goes on, or says that an answer was lost', async () => {
  Object.assign(provider.tokens, { rotateRefreshTokens: true, rotationGraceSeconds: 0 })
  for (const { status, text } of await killedWhileRenewing(3)) {
    if (status === 200) continue
    expect(status, text).toBe(410)
    expect(text).toContain('an answer of the provider was lost')
  }
})

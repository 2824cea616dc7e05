/**
 * Services and refresh helpers that die while they renew, as processes of their own. The provider rotates refresh
 * tokens without grace where nothing else is said: the old one is dead the moment it has answered.
 */
import type { ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { type Made, providerSettings, renew } from '../api/delegation-support.ts'
import { problemOf, wideLimits } from '../api/support.ts'
import { isFull } from '../support/full.ts'
import { missingPostgresPackage, type PostgresCluster, startPostgres } from '../support/postgres.ts'
import { programPath, startProgram } from '../support/programs.ts'
import { AUDIENCE, testConfiguration } from '../support/service.ts'
let provider: IdentityProvider
let directory = ''
const left: ChildProcess[] = []

beforeAll(async () => {
  provider = await startIdentityProvider({ tokens: { includeAuthnInfo: true } })
})
afterAll(async () => {
  await provider.close()
})
beforeEach(() => {
  Object.assign(provider.tokens, { reuseRefreshToken: false, rotationGraceSeconds: 0 })
  provider.faults.resetCounts()
  directory = configured({})
})
afterEach(async () => {
  provider.faults.clear()
  for (const child of left.splice(0)) child.kill('SIGKILL')
  // A helper without a service ends by itself, always.
  await expect.poll(helpers, { timeout: 10_000 }).toEqual([])
  rmSync(directory, { recursive: true, force: true })
})

/** A directory with the configuration of a service, and its data. */
function configured(more: Record<string, unknown>): string {
  const made = mkdtempSync(join(tmpdir(), 'tts-delegation-kill-'))
  const settings = {
    ...testConfiguration(provider),
    providers: { iam: providerSettings(provider) },
    data_dir: join(made, 'data'),
    ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
    limits: wideLimits,
    ...more,
  }
  writeFileSync(join(made, 'tts.yaml'), stringify(settings), { mode: 0o600 })
  return made
}

/** Process ids of the refresh helpers of this test's services. */
function helpers(): readonly number[] {
  const spool = join(directory, 'data/refresh-spool')
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => ofProcess(pid, 'cmdline').includes(spool))
    .map(Number)
}

/** Files of the spool, but for its name. */
const spooled = (): readonly string[] =>
  readdirSync(join(directory, 'data/refresh-spool')).filter((name) => name !== 'id')

function ofProcess(pid: string | number, file: 'cmdline' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}

interface Running {
  readonly child: ChildProcess
  readonly url: string
  readonly ended: Promise<unknown>
}

async function start(): Promise<Running> {
  const entry = programPath('test/faults/kill-entry.ts')
  const started = startProgram(entry, [join(directory, 'tts.yaml')])
  left.push(started.child)
  const [url = ''] = await started.says(/http:\S+/)
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if ((await fetch(`${url}/readyz`)).ok) break
    await sleep(10)
  }
  return { child: started.child, url, ended: started.ended }
}

async function end({ child, ended }: Running, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  child.kill(signal)
  expect(await ended).toBe(signal === 'SIGKILL' ? 'SIGKILL' : 0)
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

interface Begun {
  readonly renewal: Promise<Response | undefined>
  /** Lets the provider do its work and answer, and waits until it has. */
  answer(): Promise<void>
}

/** Begins a renewal, and waits until it is at the provider, which does nothing yet. */
async function beginRenewal(running: Running, made: Made): Promise<Begun> {
  const { faults } = provider
  const original = faults.intercept.bind(faults)
  let release = (): void => undefined
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let answered = Promise.resolve()
  const arrived = new Promise<void>((resolve) => {
    faults.intercept = async (path, request, response) => {
      if (path !== '/token') return original(path, request, response)
      answered = new Promise((finished) => response.once('close', finished))
      resolve()
      await held
      return original(path, request, response)
    }
  })
  const renewal = renew(running, made).catch(() => undefined)
  await arrived
  faults.intercept = original
  return {
    renewal,
    answer: async () => {
      release()
      await answered
    },
  }
}

async function expectRenewal(running: Running, made: Made): Promise<void> {
  provider.faults.clear()
  const response = await renew(running, made)
  expect(response.status, await response.text()).toBe(200)
}

/** Kills the service while it renews, at a moment that is different each time; then asks the next one. */
async function killedWhileRenewing(rounds: number): Promise<void> {
  let made: Made | undefined
  for (let round = 0; round < rounds; round += 1) {
    const before = await start()
    made ??= await delegate(before.url)
    // Each second time the provider is known already.
    const isWarm = round % 2 === 0
    if (isWarm) await expectRenewal(before, made)
    provider.faults.set('/token', { kind: 'slow', delayMs: randomInt(0, 40) })
    const renewal = renew(before, made).catch(() => undefined)
    await sleep(isWarm ? randomInt(5, 90) : randomInt(5, 900))
    await end(before)
    await renewal

    const after = await start()
    await expectRenewal(after, made)
    await end(after)
  }
}

describe('kill -9 of the service at random moments: the next one renews', () => {
  test('with a provider that repeats its refresh token', async () => {
    provider.tokens.reuseRefreshToken = true
    await killedWhileRenewing(isFull ? 5 : 1)
  })

  test('with rotation and a grace period, as the WLCG profile advises', async () => {
    provider.tokens.rotationGraceSeconds = 3600
    await killedWhileRenewing(isFull ? 5 : 1)
  })

  test('with rotation and no grace', async () => {
    await killedWhileRenewing(isFull ? 20 : 2)
  })
})

/**
 * The provider has answered, and the commit waits until `release`: then the service is killed, and only then released.
 */
async function killedBeforeTheCommit(
  hold: (made: Made) => Promise<() => Promise<void>>,
): Promise<void> {
  const before = await start()
  const made = await delegate(before.url)
  await expectRenewal(before, made)
  const { renewal, answer } = await beginRenewal(before, made)
  const release = await hold(made)
  await answer()
  await sleep(100)
  await end(before)
  expect(await renewal).toBeUndefined()
  await expect.poll(helpers).toEqual([])
  expect(spooled()).toHaveLength(1)
  expect(readFileSync(join(directory, 'data/refresh-spool', spooled()[0]!), 'latin1')).not.toMatch(
    /refresh_token|access_token/,
  )
  await release()
  const after = await start()
  await expectRenewal(after, made)
  expect(spooled()).toEqual([])
  await end(after, 'SIGTERM')
}

test('the next service waits for the helper of the one that was killed', async () => {
  const before = await start()
  const made = await delegate(before.url)
  const { answer } = await beginRenewal(before, made)
  await end(before)
  const after = await start()
  let status = 0
  const next = renew(after, made).then((response) => {
    status = response.status
  })
  await sleep(1000)
  expect(status).toBe(0)
  await answer()
  await next
  expect(status).toBe(200)
  await expectRenewal(after, made)
})

describe('kill -9 of the service between answer and commit: the token is in the spool', () => {
  const holdSqlite = async (): Promise<() => Promise<void>> => {
    const database = new DatabaseSync(join(directory, 'data/tts.db'), { timeout: 1000 })
    database.exec('begin immediate')
    return async () => database.close()
  }

  test('on SQLite', async () => killedBeforeTheCommit(holdSqlite))

  test('and without a request: the next service stores it by itself', async () => {
    const before = await start()
    const made = await delegate(before.url)
    await expectRenewal(before, made)
    const { answer } = await beginRenewal(before, made)
    const release = await holdSqlite()
    await answer()
    await expect.poll(() => spooled().some((name) => !/\.(lock|room)$/.test(name))).toBe(true)
    await end(before)
    await release()
    const after = await start()
    await expect.poll(spooled, { timeout: 10_000 }).toEqual([])
    await expectRenewal(after, made)
  })

  const required = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'
  describe.skipIf(missingPostgresPackage !== undefined && !required)('with a server', () => {
    let cluster: PostgresCluster
    beforeAll(async () => {
      cluster = await startPostgres()
    })
    afterAll(async () => cluster.stop())

    test('on PostgreSQL', async () => {
      const url = await cluster.createDatabase()
      rmSync(directory, { recursive: true, force: true })
      directory = configured({ store: { url } })
      await killedBeforeTheCommit(async ({ id }) => {
        const client = new pg.Client({ connectionString: url })
        await client.connect()
        await client.query('begin')
        await client.query('select 1 from delegations where id = $1 for update', [id])
        return async () => client.end()
      })
    })
  })
})

describe('the refresh helper', () => {
  test('shows no secret, ends by no signal that asks it to, and leaves nothing behind', async () => {
    const running = await start()
    const made = await delegate(running.url)
    expect(helpers()).toEqual([])
    const { renewal, answer } = await beginRenewal(running, made)
    const [pid = 0, ...others] = helpers()
    expect(others).toEqual([])
    const shown = ofProcess(pid, 'cmdline') + ofProcess(pid, 'environ')
    expect(shown).toContain('refresh-helper')
    expect(shown).not.toContain(provider.clients.tts.clientSecret)
    expect(ofProcess(pid, 'environ')).not.toContain('PATH=')
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGPIPE'] as const)
      process.kill(pid, signal)
    await answer()
    expect((await renewal)?.status).toBe(200)
    await expect.poll(helpers).toEqual([])
    expect(spooled()).toEqual([])
  })

  test('SIGTERM to the service in the midst of a refresh: it is finished, answered and stored', async () => {
    const before = await start()
    const made = await delegate(before.url)
    const { renewal, answer } = await beginRenewal(before, made)
    const ended = end(before, 'SIGTERM')
    await sleep(200)
    await answer()
    await ended
    expect((await renewal)?.status).toBe(200)
    const after = await start()
    await expectRenewal(after, made)
  })

  test('killed in the midst of a refresh: 503 with Retry-After, and the next one works', async () => {
    // The token that it dies with is lost; the provider takes the one before for a while.
    provider.tokens.rotationGraceSeconds = 3600
    const running = await start()
    const made = await delegate(running.url)
    const { renewal, answer } = await beginRenewal(running, made)
    const [first = 0] = helpers()
    process.kill(first, 'SIGKILL')
    const response = await renewal
    await answer()
    expect(response?.headers.get('retry-after')).toBe('5')
    expect(await problemOf(response!)).toMatchObject({ status: 503, check: 'refresh_helper' })
    await expectRenewal(running, made)
  })

  test('that cannot use its spool: 503 before anything is sent', async () => {
    const running = await start()
    const made = await delegate(running.url)
    await expectRenewal(running, made)
    const asked = provider.faults.count('/token')
    rmSync(join(directory, 'data/refresh-spool'), { recursive: true })
    const response = await renew(running, made)
    expect(await problemOf(response)).toMatchObject({ status: 503, check: 'refresh_helper' })
    expect(provider.faults.count('/token')).toBe(asked)
  })
})

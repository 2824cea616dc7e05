/** Answers in the spool that nobody stored, at a real provider that rotates without grace. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  type HeldRefreshToken,
  refreshHeld,
  heldRefreshToken,
} from '../../src/grants/refresh-token.ts'
import { rememberedConfiguration } from '../../src/grants/discovery.ts'
import type { GrantClient } from '../../src/grants/grant.ts'
import { createGrantClient } from '../../src/grants/grant-client.ts'
import { createRefreshHelper, type RefreshHelper } from '../../src/refresh-helper/helper.ts'
import { sealAnswer, spoolPath } from '../../src/refresh-helper/spool.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { calm, delegation, refusalOf, storeOver, type Cell } from './support.ts'

const provider = useIdentityProvider()
const TIMEOUT_MS = 5000
let directory = ''
let time = new Date('2026-11-27T12:00:00Z')
const now = (): Date => time

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-recovery-'))
  provider().tokens.reuseRefreshToken = false
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

/** A client of a process with its spool in this directory. */
function clientWith(name: string): {
  readonly client: GrantClient
  readonly helper: RefreshHelper
} {
  const { issuer, clients } = provider()
  const common = { providerId: 'iam', timeoutMs: TIMEOUT_MS }
  const configuration = rememberedConfiguration({ ...common, issuer, ...clients.certcache }, now)
  const helper = createRefreshHelper({
    directory: join(directory, name),
    environment: {},
    run: 'here',
  })
  return { helper, client: createGrantClient({ ...common, configuration, now, helper }) }
}

const refresh = async (client: GrantClient, cell: Cell) =>
  refreshHeld({
    client,
    store: storeOver(cell),
    owner: 'd1',
    audience: undefined,
    now,
    signal: calm(),
  })

/** What is on record when a process was killed after the provider's answer. */
async function killed(client: GrantClient, rotates: boolean | undefined): Promise<Cell> {
  const granted = { refreshToken: await delegation(provider()) }
  const held = heldRefreshToken(granted as Parameters<typeof heldRefreshToken>[0], now())
  const attempt = await client.newAttempt?.('d1')
  await client.refresh({ refreshToken: held.current, audience: undefined, signal: calm(), attempt })
  const record: HeldRefreshToken = { ...held, rotates, attemptBegunAt: now(), attempt }
  return { held: record }
}

test('the next process stores it first, and asks the provider with the new token', async () => {
  const cell = await killed(clientWith('a').client, undefined)
  const { client, helper } = clientWith('a')
  const old = cell.held?.current
  await refresh(client, cell)
  expect(cell.held).toMatchObject({ rotates: true, attemptBegunAt: undefined })
  expect([cell.held?.current, cell.held?.previous]).not.toContain(old)
  expect(await helper.owners()).toEqual([])
})

test('another replica waits for the one that was killed, and then asks itself', async () => {
  const cell = await killed(clientWith('a').client, true)
  const begun = time
  const other = clientWith('b').client
  // A replica whose clock is behind sees an attempt of the future.
  for (const seconds of [-120, -1, 0, 60, 120 + TIMEOUT_MS / 1000]) {
    time = new Date(begun.getTime() + seconds * 1000)
    const { error } = await refusalOf(refresh(other, cell))
    expect([error.code, error.check, error.retryAfterSeconds]).toEqual([
      'overloaded',
      'refresh_helper',
      10,
    ])
  }
  // It was not started again: nothing but the old token is left, and this provider takes it no more.
  time = new Date(time.getTime() + 1000)
  expect((await refusalOf(refresh(other, cell))).error.message).toMatch(
    /answer of the provider was lost/,
  )
})

test('the one that was killed is there again within that time: nothing is lost', async () => {
  const cell = await killed(clientWith('a').client, true)
  await refusalOf(refresh(clientWith('b').client, cell))
  await refresh(clientWith('a').client, cell)
  await refresh(clientWith('b').client, cell)
  expect(cell.held).toMatchObject({ attemptBegunAt: undefined })
})

test('a provider that was seen to repeat its refresh token is asked at once', async () => {
  provider().tokens.reuseRefreshToken = true
  const cell = await killed(clientWith('a').client, false)
  await refresh(clientWith('b').client, cell)
  expect(cell.held).toMatchObject({ rotates: false, attemptBegunAt: undefined })
})

test.for([
  ['no JSON', 'this is no answer'],
  ['no access token', '{"refresh_token":"r"}'],
])('an answer of no use, %s: the provider is asked again', async ([, body = '']) => {
  provider().tokens.reuseRefreshToken = true
  const { client } = clientWith('a')
  const cell = await killed(client, undefined)
  const { attempt } = cell.held ?? {}
  const answer = { status: 200, headers: [['content-type', 'application/json'] as const], body }
  const spooled = { answer, at: now().toISOString(), body: 'refresh_token=r' }
  if (attempt === undefined) throw new Error('no attempt')
  writeFileSync(spoolPath(join(directory, 'a'), attempt), sealAnswer(attempt.key, spooled))
  await refresh(client, cell)
  expect(cell.held).toMatchObject({ rotates: false, attemptBegunAt: undefined })
})

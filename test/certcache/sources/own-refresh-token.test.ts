import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  type AccessTokenRequest,
  obtainAccessToken,
  recoverRefreshToken,
  type TokenStart,
} from '../../../src/certcache/sources/own-refresh-token.ts'
import { openState } from '../../../src/certcache/state/open-state.ts'
import { digestOf, readState } from '../../../src/certcache/state/state-records.ts'
import type { StateStore } from '../../../src/certcache/state/state-store.ts'
import { TtsError } from '../../../src/base/errors.ts'
import type { GrantClient, Granted, RecoveredGrant } from '../../../src/grants/grant.ts'
import { temporaryDirectory, uid } from '../engine-support.ts'

const start = new Date('2026-11-23T12:00:00Z')
const later = (seconds: number): Date => new Date(start.getTime() + seconds * 1000)

/**
 * A provider that rotates without grace: one refresh token works, the newest.
 *
 * @param refreshSeconds stated lifetime of refresh tokens; undefined: not stated
 */
function rotating(refreshSeconds?: number) {
  let live: string | undefined
  let made = 0
  const asked: string[] = []
  let now = start
  const grant = (): Granted => {
    made += 1
    live = `refresh-${made}`
    return {
      accessToken: `access-${made}`,
      refreshToken: live,
      expiresAt: new Date(now.getTime() + 3_600_000),
      refreshExpiresAt:
        refreshSeconds === undefined ? undefined : new Date(now.getTime() + refreshSeconds * 1000),
      scope: undefined,
    }
  }
  /** Answers that were not stored, as a spool keeps them. */
  const spooled = new Map<string, RecoveredGrant>()
  const client: GrantClient = {
    exchange: async ({ subjectToken }) => {
      asked.push(`exchange ${subjectToken}`)
      return grant()
    },
    refresh: async ({ refreshToken, attempt }) => {
      asked.push(`refresh ${refreshToken}`)
      if (refreshToken !== live)
        throw new TtsError('grant_refused', 'dead', { check: 'refresh_token_dead' })
      const granted = grant()
      spooled.set(attempt?.key ?? '', { granted, shown: refreshToken })
      return granted
    },
    newAttempt: async (owner) => ({ owner, key: `key ${made}`, spool: 'here', begunAt: now }),
    recover: async ({ key }) => spooled.get(key),
    forget: async () => spooled.clear(),
    startDevice: () => Promise.reject(new Error('not here')),
    revoke: () => Promise.resolve(),
  }
  return {
    client,
    asked,
    /** This one works from now on. */
    accept: (token: string): void => {
      live = token
    },
    die: (): void => {
      live = undefined
    },
    now: () => now,
    advance: (seconds: number): void => {
      now = new Date(now.getTime() + seconds * 1000)
    },
  }
}

const task = (wanted: Partial<AccessTokenRequest> = {}): AccessTokenRequest => ({
  issuer: 'https://iam.example.org/',
  client_id: 'certcache',
  audience: undefined,
  scopes: ['openid', 'offline_access'],
  start: undefined,
  fresh_for_seconds: 90,
  refused: undefined,
  lock_wait_ms: 5000,
  ...wanted,
})
const exchange: TokenStart = { kind: 'exchange', token: 'subject' }

async function setUp(refreshSeconds?: number) {
  const directory = join(await temporaryDirectory(), 'state')
  const store = await openState(
    { directory, key_file: join(directory, 'state.key'), cluster: 'c' },
    uid,
  )
  const provider = rotating(refreshSeconds)
  const { client, now } = provider
  const partsOver = (over: StateStore) => ({ store: over, client, now, owner: 'c' })
  const ask = async (wanted: Partial<AccessTokenRequest> = {}, over: StateStore = store) =>
    (await obtainAccessToken(partsOver(over), task(wanted))).token
  const recover = async () => recoverRefreshToken(partsOver(store), task())
  return { store, provider, ask, recover }
}

test('one exchange; then the access token while it lives; then one refresh', async () => {
  const { provider, ask, store } = await setUp()
  expect(await ask({ start: exchange })).toBe('access-1')
  provider.advance(3500)
  expect(await ask()).toBe('access-1')
  provider.advance(20)
  expect(await ask()).toBe('access-2')
  expect(provider.asked).toEqual(['exchange subject', 'refresh refresh-1'])
  const record = await readState(store, 'custody')
  expect(record).toMatchObject({
    held: { current: 'refresh-2', previous: 'refresh-1', grantedAt: start, rotates: true },
    access: { token: 'access-2', expires_at: later(3520 + 3600) },
    used: [digestOf('subject')],
  })
  expect(record?.held.attemptBegunAt).toBeUndefined()
})

test.for([
  { name: 'ends before the access token: each request refreshes, to keep it alive', seconds: 1800 },
  { name: 'ends with it: the same', seconds: 3600 },
  { name: 'lives longer: the access token is used again', seconds: 3601 },
])('a refresh token that $name', async ({ seconds }) => {
  const { provider, ask } = await setUp(seconds)
  await ask({ start: exchange })
  provider.advance(60)
  expect(await ask()).toBe(seconds > 3600 ? 'access-1' : 'access-2')
  expect(provider.asked).toHaveLength(seconds > 3600 ? 1 : 2)
})

test('many at once, of many processes: one asks, the others find what it got', async () => {
  const { provider, ask } = await setUp()
  await ask({ start: exchange })
  provider.advance(3600)
  const tokens = await Promise.all([1, 2, 3, 4].map(async () => ask()))
  expect(tokens).toEqual(tokens.map(() => 'access-2'))
  expect(provider.asked).toHaveLength(2)
})

test('an access token that was refused is not given again', async () => {
  const { ask } = await setUp()
  await ask({ start: exchange })
  expect(await ask({ refused: digestOf('access-1') })).toBe('access-2')
})

test('one that hangs is waited for, not for ever', async () => {
  const { store, ask } = await setUp()
  const lock = await store.tryLock('refresh-token')
  await expect(ask({ lock_wait_ms: 50 })).rejects.toMatchObject({
    code: 'overloaded',
    check: 'refresh_helper',
  })
  await lock?.release()
})

describe('the end', () => {
  test('is remembered, asks nobody again, and a used token does not begin anew', async () => {
    const { provider, ask, store } = await setUp()
    await ask({ start: exchange })
    provider.advance(3600)
    provider.die()
    await expect(ask()).rejects.toMatchObject({ code: 'delegation_ended' })
    expect((await readState(store, 'custody'))?.ended).toMatchObject({ at: later(3600) })
    const count = provider.asked.length
    for (const begin of [undefined, exchange])
      await expect(ask({ start: begin })).rejects.toMatchObject({ code: 'delegation_ended' })
    expect(provider.asked).toHaveLength(count)
    const another: TokenStart = { kind: 'exchange', token: 'another' }
    expect(await ask({ start: another })).toBe('access-2')
    expect(await readState(store, 'custody')).not.toHaveProperty('ended')
  })

  test('a refresh token that was configured is used once, then what it became', async () => {
    const { provider, ask } = await setUp()
    provider.accept('given')
    const given: TokenStart = { kind: 'refresh_token', token: 'given' }
    expect(await ask({ start: given })).toBe('access-1')
    provider.advance(3600)
    // It still stands in the environment, and is long dead.
    expect(await ask({ start: given })).toBe('access-2')
    expect(provider.asked).toEqual(['refresh given', 'refresh refresh-1'])
  })
})

describe('a login', () => {
  const login = (token: string): TokenStart => ({
    kind: 'login',
    id: `login of ${token}`,
    token,
    granted_at: start.toISOString(),
    access: { token: `access of ${token}`, expires_at: later(3600).toISOString() },
  })

  test('takes the place of what there is, once', async () => {
    const { provider, ask } = await setUp()
    await ask({ start: exchange })
    provider.accept('fresh')
    expect(await ask({ start: login('fresh') })).toBe('access of fresh')
    provider.advance(3600)
    expect(await ask()).toBe('access-2')
    // Delivered again after a crash: what it became meanwhile stays.
    expect(await ask({ start: login('fresh') })).toBe('access-2')
    provider.advance(3600)
    expect(await ask()).toBe('access-3')
  })
})

test('a refresh token of another client or issuer is shown to nobody', async () => {
  const { provider, ask } = await setUp()
  await ask({ start: exchange })
  for (const other of [{ client_id: 'other' }, { issuer: 'https://other.example.org/' }])
    await expect(ask(other)).rejects.toMatchObject({ code: 'delegation_ended' })
  expect(provider.asked).toEqual(['exchange subject'])
})

/** A store whose refresh token cannot be written for some time, as told by `fails`. */
function failing(store: StateStore, fails: (content: Uint8Array) => boolean): StateStore {
  return {
    ...store,
    tryLock: async (name) => {
      const lock = await store.tryLock(name)
      return (
        lock && {
          ...lock,
          write: async (record, content) => {
            if (fails(content)) throw new TtsError('configuration', 'the disk is full')
            await lock.write(record, content)
          },
        }
      )
    },
  }
}

describe('a state that cannot be written', () => {
  test('before the refresh: the provider is not asked', async () => {
    const { provider, ask, store } = await setUp()
    await ask({ start: exchange })
    provider.advance(3600)
    await expect(
      ask(
        {},
        failing(store, () => true),
      ),
    ).rejects.toMatchObject({
      code: 'configuration',
    })
    expect(provider.asked).toEqual(['exchange subject'])
    expect(await ask()).toBe('access-2')
  })

  describe('after it: the new token lies in the spool', () => {
    const whenNew = (content: Uint8Array): boolean => Buffer.from(content).includes('refresh-2')

    test('until the next use, which stores it first', async () => {
      const { provider, ask, store } = await setUp()
      await ask({ start: exchange })
      provider.advance(3600)
      await expect(ask({}, failing(store, whenNew))).rejects.toMatchObject({
        code: 'store_unavailable',
        check: 'refresh_token_unsaved',
      })
      expect(await ask()).toBe('access-3')
      expect(provider.asked.slice(1)).toEqual(['refresh refresh-1', 'refresh refresh-2'])
    })

    test('until it is recovered, which asks nobody', async () => {
      const { provider, ask, store, recover } = await setUp()
      await ask({ start: exchange })
      provider.advance(3600)
      await expect(ask({}, failing(store, whenNew))).rejects.toThrow()
      await recover()
      const { held } = (await readState(store, 'custody')) ?? {}
      expect(held).toMatchObject({ current: 'refresh-2', previous: 'refresh-1', rotates: true })
      expect(held).not.toHaveProperty('attempt')
      expect(provider.asked).toHaveLength(2)
    })
  })
})

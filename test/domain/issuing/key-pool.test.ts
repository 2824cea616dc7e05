import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  createKeyPool,
  type KeyClaimant,
  type KeyPool,
  type KeyPoolOptions,
} from '../../../src/domain/issuing/key-pool.ts'
import type { RsaKeyKind } from '../../../src/signing/key-thread.ts'

/** Threads that finish a key only when the test says so. */
function heldThreads() {
  const started: { readonly kind: RsaKeyKind; readonly finish: (key: KeyObject) => void }[] = []
  return {
    started,
    make: (kind: RsaKeyKind) =>
      new Promise<KeyObject>((resolve) => started.push({ kind, finish: resolve })),
    close: () => undefined,
  }
}

let key: KeyObject
beforeAll(() => {
  key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
})
const pools: KeyPool[] = []
afterEach(() => {
  vi.useRealTimers()
  for (const pool of pools.splice(0)) pool.close()
})

function open(options: Partial<KeyPoolOptions> = {}) {
  const threads = heldThreads()
  const pool = createKeyPool({
    size: 0,
    queue: 64,
    queuePerIdentity: 64,
    kinds: ['rsa-2048'],
    cores: 2,
    idleCores: () => 2,
    threads,
    ...options,
  })
  pools.push(pool)
  return { pool, started: threads.started }
}

const claimant = (identityId: string, signal = new AbortController().signal): KeyClaimant => ({
  identityId,
  signal,
})
const settle = (): Promise<void> => sleep(0)

describe('a burst of requests on an empty pool', () => {
  test('200 are answered in the order of their arrival, one key for each core at a time', async () => {
    const { pool, started } = open({ queue: 200 })
    const answered: number[] = []
    for (let index = 0; index < 200; index += 1) {
      void pool.take('rsa-2048', claimant(`user ${index}`)).then(() => answered.push(index))
    }
    for (let made = 0; made < 200; made += 1) {
      await settle()
      expect(started.length).toBe(Math.min(200, made + 2))
      started[made]?.finish(key)
    }
    await settle()
    expect(answered).toEqual(Array.from({ length: 200 }, (_none, index) => index))
  })

  test('beyond the queue: 503 with Retry-After at once, and nobody who waits loses the place', async () => {
    const { pool, started } = open({ queue: 3 })
    const taken = Array.from({ length: 5 }, (_none, index) =>
      pool.take('rsa-2048', claimant(`user ${index}`)),
    )
    await expect(pool.take('rsa-2048', claimant('late'))).rejects.toMatchObject({
      code: 'overloaded',
      check: 'key_queue',
      retryAfterSeconds: 5,
    })
    for (let made = 0; made < 5; made += 1) {
      started[made]?.finish(key)
      await settle()
    }
    await expect(Promise.all(taken)).resolves.toHaveLength(5)
  })

  test('beyond the share of one identity: 429 for it alone', async () => {
    const { pool } = open({ queue: 10, queuePerIdentity: 2 })
    for (let index = 0; index < 3; index += 1)
      void pool.take('rsa-2048', claimant('greedy')).catch(() => undefined)
    await expect(pool.take('rsa-2048', claimant('greedy'))).rejects.toMatchObject({
      code: 'limit_reached',
      check: 'identity_keys',
    })
    expect(pool.state.waiting).toBe(2)
    void pool.take('rsa-2048', claimant('other'))
    expect(pool.state.waiting).toBe(2)
  })

  test('one identity leaves a core to the others', async () => {
    const { pool, started } = open({ cores: 4 })
    for (let index = 0; index < 8; index += 1)
      void pool.take('rsa-4096', claimant('greedy')).catch(() => undefined)
    await settle()
    expect(started).toHaveLength(3)
    void pool.take('rsa-2048', claimant('other'))
    await settle()
    expect(started.map(({ kind }) => kind)).toEqual([
      'rsa-4096',
      'rsa-4096',
      'rsa-4096',
      'rsa-2048',
    ])
  })
})

describe('keys made in advance', () => {
  test('a pool for each kind, filled evenly, and no further than its size', async () => {
    const { pool, started } = open({ size: 2, kinds: ['rsa-2048', 'rsa-3072', 'ec-p256'] })
    for (let made = 0; made < 6; made += 1) {
      started[made]?.finish(key)
      await settle()
    }
    expect(started.map(({ kind }) => kind).toSorted()).toEqual([
      'rsa-2048',
      'rsa-2048',
      'rsa-3072',
      'rsa-3072',
    ])
    expect([...pool.state.ready]).toEqual([
      ['rsa-2048', 2],
      ['rsa-3072', 2],
    ])
  })

  test('another kind from the first request for it', async () => {
    vi.useFakeTimers()
    const { pool, started } = open({ size: 1, kinds: [] })
    expect(started).toEqual([])
    const taken = pool.take('rsa-4096', claimant('user'))
    await vi.advanceTimersByTimeAsync(0)
    started[0]?.finish(key)
    await taken
    await vi.advanceTimersByTimeAsync(300)
    expect(started.map(({ kind }) => kind)).toEqual(['rsa-4096', 'rsa-4096'])
  })

  test('a ready key is given at once, and each only once', async () => {
    const { pool, started } = open({ size: 1 })
    started[0]?.finish(key)
    await settle()
    await expect(pool.take('rsa-2048', claimant('first'))).resolves.toBe(key)
    let second: KeyObject | undefined
    void pool.take('rsa-2048', claimant('second')).then((made) => (second = made))
    await settle()
    expect(second).toBeUndefined()
  })

  test('only by cores that no request needs', async () => {
    vi.useFakeTimers()
    let idle = 0
    const { started } = open({ size: 8, cores: 4, idleCores: () => idle })
    await vi.advanceTimersByTimeAsync(1000)
    expect(started).toHaveLength(0)
    idle = 1
    await vi.advanceTimersByTimeAsync(300)
    expect(started).toHaveLength(1)
    idle = 3
    await vi.advanceTimersByTimeAsync(300)
    expect(started).toHaveLength(3)
  })

  test('a failure is tried again after a pause', async () => {
    vi.useFakeTimers()
    let tries = 0
    const failing = async (): Promise<KeyObject> => {
      tries += 1
      throw new Error('no thread')
    }
    open({ size: 4, threads: { make: failing, close: () => undefined } })
    await vi.advanceTimersByTimeAsync(1000)
    expect(tries).toBeLessThanOrEqual(2 * 5)
    expect(tries).toBeGreaterThan(2)
  })

  test('not while a request waits for a key', async () => {
    vi.useFakeTimers()
    const { pool, started } = open({ size: 4, idleCores: () => 2, kinds: [] })
    const kinds = ['a', 'b', 'c'].map((id) => pool.take('rsa-2048', claimant(id)))
    await vi.advanceTimersByTimeAsync(1000)
    expect(started).toHaveLength(2)
    for (let made = 0; made < 3; made += 1) {
      started[made]?.finish(key)
      await vi.advanceTimersByTimeAsync(0)
    }
    await Promise.all(kinds)
  })
})

test('the key of a caller who has gone is kept for another one', async () => {
  const { pool, started } = open({ size: 1, idleCores: () => 0 })
  const gone = new AbortController()
  const taken = pool.take('rsa-2048', claimant('gone', gone.signal))
  await settle()
  gone.abort()
  started[0]?.finish(key)
  await expect(taken).rejects.toMatchObject({ code: 'overloaded', check: 'deadline' })
  expect(pool.state.ready.get('rsa-2048')).toBe(1)
})

test('EC keys are made without waiting', async () => {
  const { pool, started } = open({ queue: 1 })
  const kinds = await Promise.all(
    Array.from({ length: 20 }, () => pool.take('ec-p256', claimant('user'))),
  )
  expect(new Set(kinds.map((made) => made.asymmetricKeyType))).toEqual(new Set(['ec']))
  expect(started).toEqual([])
})

test('a closed pool refuses', async () => {
  const { pool } = open()
  pool.close()
  await expect(pool.take('rsa-2048', claimant('user'))).rejects.toMatchObject({
    code: 'shutting_down',
  })
})

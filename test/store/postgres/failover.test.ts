/** The store on a primary with a synchronous standby: the server that accepts writes is found, no commit is lost. */
import { setTimeout as sleep } from 'node:timers/promises'
import { CompiledQuery, sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { storeSettings } from '../../../src/config/store-schema.ts'
import type { Store } from '../../../src/domain/store.ts'
import { openPostgres } from '../../../src/store/postgres/postgres.ts'
import { openStore } from '../../../src/store/store.ts'
import { ask, missingPostgresPackage } from '../../support/postgres.ts'
import {
  type PairedServer,
  type PostgresPair,
  startPostgresPair,
} from '../../support/postgres-pair.ts'
import { newCredential, newEndEntity, newIdentity, newMasterKeys, NOW } from '../support.ts'

const required = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'
const TIMEOUT_SECONDS = 2

describe.skipIf(missingPostgresPackage !== undefined && !required)('failover', () => {
  let pair: PostgresPair
  let store: Store
  beforeAll(async () => {
    pair = await startPostgresPair()
    await pair.createDatabase('tts')
    store = await openStore({
      settings: storeSettings.parse({
        url: pair.url('tts'),
        pool_size: 4,
        timeout_seconds: TIMEOUT_SECONDS,
      }),
      masterKeys: newMasterKeys(),
      now: () => NOW,
    })
  })
  afterAll(async () => {
    await store.close()
    await pair.stop()
  })

  const refusal = async (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => 'not refused',
      (error: unknown) => error,
    )
  const unavailable = { code: 'store_unavailable', retryAfterSeconds: 1 }

  test('only the primary is used, whichever comes first', async () => {
    const url = `postgres://tts@127.0.0.1:${pair.second.port},127.0.0.1:${pair.first.port}/tts`
    const settings = storeSettings.parse({ url, pool_size: 2 })
    const other = await openStore({ settings, masterKeys: newMasterKeys(), now: () => NOW }).catch(
      (error: unknown) => error,
    )
    // It reads the master keys that the first store recorded: the databases are one.
    expect(other).toMatchObject({ code: 'configuration' })
    const { serial, identity } = await newEndEntity(store)
    const made = await newCredential(store, identity, serial)
    expect(await ask(pair.second.url('tts'), 'select id from credentials')).toEqual([
      { id: made.id },
    ])
  })

  test('a standby alone is refused', async () => {
    const url = `${pair.second.url('tts')}?target_session_attrs=read-write`
    const settings = storeSettings.parse({ url, pool_size: 2 })
    expect(
      await refusal(openStore({ settings, masterKeys: newMasterKeys(), now: () => NOW })),
    ).toMatchObject({
      code: 'store_unavailable',
      remedy: expect.stringMatching(/^The database is read-only/) as string,
    })
  })

  /** Runs work while the standby confirms nothing: its WAL receiver is stopped. */
  async function withoutConfirmation(work: () => Promise<void>): Promise<void> {
    const receiver = await pids(pair.second, 'select pid from pg_stat_wal_receiver')
    await suspended(receiver, work)
  }

  test('a commit whose wait for the standby is cancelled is no success', async () => {
    await withoutConfirmation(async () => {
      const asked = refusal(newIdentity(store, 'cancelled'))
      const cancel = `select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'`
      await expect.poll(async () => ask(pair.first.url('tts'), cancel)).toHaveLength(1)
      expect(await asked).toMatchObject(unavailable)
    })
    expect((await newIdentity(store, 'cancelled')).sub).toBe('cancelled')
  })

  test('a commit that the standby never confirms is refused at the deadline', async () => {
    await withoutConfirmation(async () => {
      const before = performance.now()
      expect(await refusal(newIdentity(store, 'unconfirmed'))).toMatchObject(unavailable)
      expect(performance.now() - before).toBeLessThan(TIMEOUT_SECONDS * 1000 + 1500)
    })
    await expect.poll(async () => refusal(newIdentity(store, 'after'))).toBe('not refused')
  })

  test('a connection that breaks within a transaction does not end the process', async () => {
    const ended = vi.fn()
    process.once('uncaughtExceptionMonitor', ended)
    const database = openPostgres({ url: pair.url('tts'), poolSize: 2, timeoutMs: 2000 })
    const broken = database.writes.transaction().execute(async (transaction) => {
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(
        transaction,
      )
      await ask(pair.first.url('postgres'), `select pg_terminate_backend(${rows[0]!.pid})`)
      await sleep(200)
      await sql`select 1`.execute(transaction)
    })
    await expect(broken).rejects.toThrow()
    const rows = await database.transact([], CompiledQuery.raw('select 1 as one'))
    expect(rows).toEqual([{ one: 1 }])
    await database.destroy()
    process.removeListener('uncaughtExceptionMonitor', ended)
    expect(ended).not.toHaveBeenCalled()
  })

  test('a server that becomes read-only loses all connections at the first refusal', async () => {
    const url = pair.first.url('tts')
    const set = async (value: 'on' | 'off'): Promise<void> => {
      await ask(url, `alter system set default_transaction_read_only = ${value}`)
      await ask(url, 'select pg_reload_conf()')
    }
    const used = `select 1 from pg_stat_activity where application_name = 'tts'`
    await Promise.all(Array.from({ length: 4 }, async () => newIdentity(store)))
    expect((await ask(url, used)).length).toBeGreaterThan(1)
    await set('on')
    await expect.poll(async () => refusal(newIdentity(store))).toMatchObject(unavailable)
    // Soon: idle connections are closed after ten seconds in any case.
    await expect.poll(async () => ask(url, used), { timeout: 3000 }).toEqual([])
    await set('off')
    await expect.poll(async () => refusal(newIdentity(store))).toBe('not refused')
  })

  test('kill -9 of the primary: refused at once, and written again once the standby is promoted', async () => {
    const { serial, identity } = await newEndEntity(store)
    const made = await newCredential(store, identity, serial)
    await pair.first.kill()
    const before = performance.now()
    for (let attempt = 0; attempt < 5; attempt += 1)
      expect(await refusal(newIdentity(store))).toMatchObject(unavailable)
    expect(performance.now() - before).toBeLessThan(1000)
    await pair.promote()
    const promoted = performance.now()
    while ((await refusal(newIdentity(store))) !== 'not refused') await sleep(10)
    expect(performance.now() - promoted).toBeLessThan(1000)
    expect(await store.findCredential(made.id)).toMatchObject({ id: made.id })
    await store.exclusively('a lock', async () => undefined, 1000)
  })

  test('the former primary as a standby gets no writes', async () => {
    await pair.first.start({ standby: true })
    expect(await ask(pair.first.url('tts'), 'select pg_is_in_recovery() as is')).toEqual([
      { is: true },
    ])
    for (let attempt = 0; attempt < 10; attempt += 1) await newIdentity(store)
    const used = `select 1 from pg_stat_activity where application_name = 'tts'`
    expect(await ask(pair.first.url('tts'), used)).toEqual([])
  })

  test('a machine that answers nothing holds nobody up for longer than the deadline', async () => {
    const sessions = await pids(
      pair.second,
      `select pid from pg_stat_activity where application_name = 'tts'`,
    )
    pair.second.signal('SIGSTOP')
    try {
      await suspended(sessions, async () => {
        const before = performance.now()
        expect(await refusal(newIdentity(store))).toMatchObject(unavailable)
        expect(performance.now() - before).toBeLessThan(TIMEOUT_SECONDS * 1000 + 500)
      })
    } finally {
      pair.second.signal('SIGCONT')
    }
    await expect.poll(async () => refusal(newIdentity(store))).toBe('not refused')
  })
})

async function pids({ url }: PairedServer, select: string): Promise<readonly number[]> {
  const rows = (await ask(url('tts'), select)) as { readonly pid: number }[]
  expect(rows.length).toBeGreaterThan(0)
  return rows.map(({ pid }) => pid)
}

async function suspended(processes: readonly number[], work: () => Promise<void>): Promise<void> {
  const send = (signal: NodeJS.Signals): void => {
    for (const pid of processes) process.kill(pid, signal)
  }
  send('SIGSTOP')
  try {
    await work()
  } finally {
    send('SIGCONT')
  }
}

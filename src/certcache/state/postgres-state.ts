/**
 * The state in PostgreSQL, for several certcaches of one cluster. A lock is a session advisory lock on a connection of
 * its own, and what its holder writes goes over that connection: who has lost the lock can write no more.
 */
import { createHash } from 'node:crypto'
import pg from 'pg'
import { TtsError } from '../../base/errors.ts'
import { openRecord, sealRecord } from './state-key.ts'
import type { LockName, RecordName, StateLock, StateOptions, StateStore } from './state-store.ts'

/** How the database is reached. */
export interface PostgresStateOptions extends StateOptions {
  readonly url: string
  /** Deadline of each question. Default 5000. */
  readonly timeoutMs?: number
}

const DEFAULT_TIMEOUT_MS = 5000
const END_TIMEOUT_MS = 1000
/** SQLSTATE of two that create the same table at once: one of them fails. */
const ALREADY_THERE = new Set(['23505', '42P07', '42710'])

/** Answers the state; nothing is connected yet, so that a certcache starts while the database is away. */
export function openPostgresState(options: PostgresStateOptions): StateStore {
  let shared: Promise<pg.Client> | undefined
  const forget = (): void => {
    shared = undefined
  }
  const connected = async (): Promise<pg.Client> => {
    shared ??= connect(options, forget).catch((error: unknown) => {
      forget()
      throw error
    })
    return shared
  }
  const inTurn = createTurns()
  const onShared = async <Answer>(work: (client: pg.Client) => Promise<Answer>): Promise<Answer> =>
    inTurn(async () => {
      const client = await connected()
      return work(client).catch((error: unknown) => {
        forget()
        void endSoon(client)
        throw error
      })
    })
  const ask = async (sql: string, values: readonly unknown[]): Promise<unknown[]> =>
    onShared((client) => query(client, sql, values))
  const { cluster } = options
  return {
    read: async (record) => {
      const [row] = await ask(
        'select sealed from certcache_state where cluster = $1 and record = $2',
        [cluster, record],
      )
      return row === undefined
        ? undefined
        : openRecord(options, record, (row as { sealed: Buffer }).sealed)
    },
    version: async (record) => {
      const [row] = await ask(
        'select version::text as version from certcache_state where cluster = $1 and record = $2',
        [cluster, record],
      )
      return (row as { version: string } | undefined)?.version
    },
    deposit: async (content, record = 'incoming') =>
      onShared((client) => writeRecord(client, options, { record, content })),
    tryLock: async (name) => lock(options, name),
    close: async () => {
      const client = await shared?.catch(() => undefined)
      if (client !== undefined) await endSoon(client)
    },
  }
}

async function lock(options: PostgresStateOptions, name: LockName): Promise<StateLock | undefined> {
  const lost = new AbortController()
  const client = await connect(options, () => lost.abort())
  const end = async (): Promise<void> => endSoon(client)
  try {
    const [row] = await query(client, 'select pg_try_advisory_lock($1::bigint) as got', [
      lockKey(options.cluster, name),
    ])
    if (!(row as { got: boolean }).got) {
      await end()
      return undefined
    }
  } catch (error) {
    await end()
    throw error
  }
  const inTurn = createTurns()
  const held = async <Answer>(work: () => Promise<Answer>): Promise<Answer> =>
    inTurn(async () => {
      if (lost.signal.aborted) throw unavailable(new Error('the lock is lost'))
      return work().catch((error: unknown) => {
        // Whatever state the connection is in: without it there is no lock, and others may go on.
        lost.abort()
        void end()
        throw error
      })
    })
  return {
    lost: lost.signal,
    write: async (record, content) => held(() => writeRecord(client, options, { record, content })),
    remove: async (record) =>
      held(async () => {
        await query(client, 'delete from certcache_state where cluster = $1 and record = $2', [
          options.cluster,
          record,
        ])
      }),
    check: async () => void (await held(() => query(client, 'select 1', []))),
    release: end,
  }
}

/** One question on a connection at a time. */
function createTurns() {
  let last: Promise<unknown> = Promise.resolve()
  return async <Answer>(work: () => Promise<Answer>): Promise<Answer> => {
    const turn = last.then(work)
    last = turn.catch(() => undefined)
    return turn
  }
}

interface Written {
  readonly record: RecordName
  readonly content: Uint8Array
}

/** Versions are random, so that one that was removed and made again is not taken for the old one. */
async function writeRecord(
  client: pg.Client,
  options: PostgresStateOptions,
  { record, content }: Written,
): Promise<void> {
  await query(
    client,
    `insert into certcache_state (cluster, record, version, sealed) values ($1, $2, gen_random_uuid(), $3)
     on conflict (cluster, record) do update set version = excluded.version, sealed = excluded.sealed, written_at = now()`,
    [options.cluster, record, sealRecord(options, record, content)],
  )
}

async function connect(options: PostgresStateOptions, onEnd: () => void): Promise<pg.Client> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
  const client = newClient(options.url, timeoutMs)
  // Both come, or one: a connection that breaks while idle is an event, and without a listener the end of the process.
  client.on('error', onEnd)
  client.on('end', onEnd)
  try {
    await client.connect()
    // Else a machine that vanished keeps its lock for hours; and a commit that can be lost is none.
    await client.query(
      'set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3; set synchronous_commit = on',
    )
    await createTable(client)
    return client
  } catch (error) {
    void endSoon(client)
    throw error instanceof TtsError ? error : unavailable(error)
  }
}

/** A server that is not there any more does not say goodbye either. */
async function endSoon(client: pg.Client): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const enough = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, END_TIMEOUT_MS)
  })
  await Promise.race([client.end().catch(() => undefined), enough])
  clearTimeout(timer)
}

function newClient(url: string, timeoutMs: number): pg.Client {
  try {
    return new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: timeoutMs,
      statement_timeout: timeoutMs,
      query_timeout: timeoutMs + 500,
      keepAlive: true,
      application_name: 'certcache',
    })
  } catch {
    // No cause: the library's message may repeat the connection string, which may hold a password.
    throw new TtsError('configuration', 'state.url is no connection string of PostgreSQL')
  }
}

async function createTable(client: pg.Client): Promise<void> {
  const { rows } = await client.query("select to_regclass('certcache_state') is not null as there")
  if ((rows as { there: boolean }[])[0]?.there === true) return
  await client
    .query(
      `create table if not exists certcache_state (
         cluster text not null, record text not null, version uuid not null, sealed bytea not null,
         written_at timestamptz not null default now(), primary key (cluster, record))`,
    )
    .catch((error: unknown) => {
      if (!(error instanceof pg.DatabaseError) || !ALREADY_THERE.has(error.code ?? '')) throw error
    })
}

async function query(
  client: pg.Client,
  sql: string,
  values: readonly unknown[],
): Promise<unknown[]> {
  try {
    return (await client.query(sql, [...values])).rows as unknown[]
  } catch (error) {
    throw unavailable(error)
  }
}

/** 64 bits, as PostgreSQL wants. */
function lockKey(cluster: string, name: LockName): string {
  const digest = createHash('sha256').update(`certcache lock\0${cluster}\0${name}`).digest()
  return digest.readBigInt64BE(0).toString()
}

function unavailable(cause: unknown): TtsError {
  return new TtsError('store_unavailable', 'the database of the state cannot be used now', {
    check: 'state_database',
    retryAfterSeconds: 5,
    remedy: 'Check state.url, and that PostgreSQL runs and lets this user create and write tables.',
    cause,
  })
}

/**
 * The state in PostgreSQL, for several certcaches of one cluster. Each lock is a session advisory lock on a
 * connection of its own, and its holder writes over that connection. So a certcache that has lost the lock cannot
 * write.
 */
import { createHash } from 'node:crypto'
import pg from 'pg'
import { createMutex, withinTime } from '../../base/async.ts'
import { TtsError } from '../../base/errors.ts'
import {
  explainConnectionString,
  explainDatabaseFault,
  severalHosts,
} from '../../network/database-faults.ts'
import { openRecord, sealRecord } from './state-key.ts'
import type { LockName, RecordName, StateLock, StateOptions, StateStore } from './state-store.ts'

export interface PostgresStateOptions extends StateOptions {
  readonly url: string
  /** Deadline of each query. Default 5000. */
  readonly timeoutMs?: number
}

const DEFAULT_TIMEOUT_MS = 5000
const END_TIMEOUT_MS = 1000
/** SQLSTATEs when two clients create the same table at the same time: one of them fails. */
const ALREADY_EXISTS = new Set(['23505', '42P07', '42710'])

/** Returns the store without connecting, so that a certcache can start while the database is down. */
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
  const mutex = createMutex()
  const onShared = async <Answer>(work: (client: pg.Client) => Promise<Answer>): Promise<Answer> =>
    mutex.run(async () => {
      const client = await connected()
      return work(client).catch((error: unknown) => {
        forget()
        void endSoon(client)
        throw error
      })
    })
  const runQuery = async (sql: string, values: readonly unknown[]): Promise<unknown[]> =>
    onShared((client) => query(client, sql, values))
  const { cluster } = options
  return {
    read: async (record) => {
      const [row] = await runQuery(
        'select sealed from certcache_state where cluster = $1 and record = $2',
        [cluster, record],
      )
      return row === undefined
        ? undefined
        : openRecord(options, record, (row as { sealed: Buffer }).sealed)
    },
    version: async (record) => {
      const [row] = await runQuery(
        'select version::text as version from certcache_state where cluster = $1 and record = $2',
        [cluster, record],
      )
      return (row as { version: string } | undefined)?.version
    },
    deposit: async (content, record = 'incoming') =>
      onShared((client) => writeRecord(client, options, { record, content })),
    tryLock: async (name) => tryLock(options, name),
    close: async () => {
      const client = await shared?.catch(() => undefined)
      if (client !== undefined) await endSoon(client)
    },
  }
}

async function tryLock(
  options: PostgresStateOptions,
  name: LockName,
): Promise<StateLock | undefined> {
  const lost = new AbortController()
  const client = await connect(options, () => lost.abort())
  const end = async (): Promise<void> => endSoon(client)
  try {
    const [row] = await query(client, 'select pg_try_advisory_lock($1::bigint) as acquired', [
      lockKey(options.cluster, name),
    ])
    if (!(row as { acquired: boolean }).acquired) {
      await end()
      return undefined
    }
  } catch (error) {
    await end()
    throw error
  }
  const mutex = createMutex()
  const whileHeld = async <Answer>(work: () => Promise<Answer>): Promise<Answer> =>
    mutex.run(async () => {
      if (lost.signal.aborted) throw unavailable(new Error('the lock was lost'))
      return work().catch((error: unknown) => {
        // The connection may be in any state. Closing it releases the lock, so that another certcache can continue.
        lost.abort()
        void end()
        throw error
      })
    })
  return {
    lost: lost.signal,
    write: async (record, content) =>
      whileHeld(() => writeRecord(client, options, { record, content })),
    remove: async (record) =>
      whileHeld(async () => {
        await query(client, 'delete from certcache_state where cluster = $1 and record = $2', [
          options.cluster,
          record,
        ])
      }),
    check: async () => void (await whileHeld(() => query(client, 'select 1', []))),
    release: end,
  }
}

interface RecordContent {
  readonly record: RecordName
  readonly content: Uint8Array
}

/** Versions are random: a record that was deleted and created again must not look unchanged. */
async function writeRecord(
  client: pg.Client,
  options: PostgresStateOptions,
  { record, content }: RecordContent,
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
  // A connection that breaks while idle emits `error`, `end` or both. Without a listener, `error` would end the
  // process.
  client.on('error', onEnd)
  client.on('end', onEnd)
  try {
    await client.connect()
    // Without keepalives a machine that vanished would hold its lock for hours. Without synchronous_commit a crash of
    // the database could lose a commit.
    // Not when the connection opens, because PgBouncer refuses statement_timeout there.
    await client.query(
      `set statement_timeout = ${timeoutMs}; set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3; set synchronous_commit = on`,
    )
    await createTable(client)
    return client
  } catch (error) {
    void endSoon(client)
    throw error instanceof TtsError ? error : unavailable(error)
  }
}

/** Waits a limited time for the end of the connection: a server that is gone does not answer. */
async function endSoon(client: pg.Client): Promise<void> {
  const end = client.end().catch(() => undefined)
  await withinTime(end, END_TIMEOUT_MS, () => new Error('not closed in time')).catch(
    () => undefined,
  )
}

/**
 * Returns host, port and name of a database, as in `db.example.org:5432/certcache`, without user and password.
 *
 * @throws {TtsError} `configuration` (the driver cannot read the connection string)
 */
export function placeOfDatabase(url: string): string {
  const { host, port, database } = newClient(url, 0)
  return `${host}:${port}/${database ?? ''}`
}

function newClient(url: string, timeoutMs: number): pg.Client {
  const problem = severalHosts(url)
  if (problem !== undefined) throw new TtsError('configuration', `state.url: ${problem}`)
  try {
    return new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: timeoutMs,
      query_timeout: timeoutMs + 500,
      keepAlive: true,
      application_name: 'certcache',
    })
  } catch (error) {
    // Without a cause: the message of the library may repeat the connection string, which may hold a password.
    throw new TtsError('configuration', `state.url: ${explainConnectionString(error)}`)
  }
}

async function createTable(client: pg.Client): Promise<void> {
  const { rows } = await client.query(
    "select to_regclass('certcache_state') is not null as table_exists",
  )
  if ((rows as { table_exists: boolean }[])[0]?.table_exists === true) return
  await client
    .query(
      `create table if not exists certcache_state (
         cluster text not null, record text not null, version uuid not null, sealed bytea not null,
         written_at timestamptz not null default now(), primary key (cluster, record))`,
    )
    .catch((error: unknown) => {
      if (!(error instanceof pg.DatabaseError) || !ALREADY_EXISTS.has(error.code ?? '')) throw error
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

/** Returns the 64-bit key of an advisory lock. */
function lockKey(cluster: string, name: LockName): string {
  const digest = createHash('sha256').update(`certcache lock\0${cluster}\0${name}`).digest()
  return digest.readBigInt64BE(0).toString()
}

function unavailable(cause: unknown): TtsError {
  return new TtsError('store_unavailable', 'the database of the state is unavailable', {
    check: 'state_database',
    retryAfterSeconds: 5,
    remedy:
      explainDatabaseFault(cause, { url: 'state.url' }) ??
      'Check state.url, that PostgreSQL runs, and that this user may create and write tables.',
    cause,
  })
}

/** Looks at a database without changing it, before there is anything in it. */
import { existsSync } from 'node:fs'
import type { StoreSettings } from '../config/store-schema.ts'
import { TtsError } from '../base/errors.ts'
import { refuseTransactionPooler } from './postgres/pooler.ts'
import { createServers, type Servers } from './postgres/servers.ts'
import { storeError } from './store-error.ts'

export interface DatabaseProbe {
  /** For people. */
  readonly description: string
  /** Whether the service has been started with this database. */
  readonly hasRecords: boolean
  /** Time of the server, and our time when it was read; undefined for SQLite. */
  readonly clock: { readonly theirs: Date; readonly ours: Date } | undefined
}

/**
 * Connects to PostgreSQL and checks rights, write access and pooler. An SQLite file is only looked for.
 *
 * @param settings `path` is absolute
 * @throws {TtsError} `configuration`, `store_unavailable`
 */
export async function probeDatabase(
  settings: StoreSettings,
  now: () => Date,
): Promise<DatabaseProbe> {
  const { url, path, timeout_seconds: timeoutSeconds } = settings
  if (url === undefined)
    return {
      hasRecords: existsSync(path),
      description: existsSync(path) ? `sqlite, ${path}` : `sqlite, ${path} will be created`,
      clock: undefined,
    }
  const connection = { url, timeoutMs: Math.round(timeoutSeconds * 1000) }
  const servers = createServers(connection)
  try {
    const probe = await probePostgres(servers, now)
    await refuseTransactionPooler(connection)
    return probe
  } catch (error) {
    throw storeError(error)
  }
}

interface ProbeRow {
  readonly version: string
  readonly read_only: boolean
  readonly may_create: boolean | null
  readonly has_records: boolean
  readonly now: Date
}

async function probePostgres(servers: Servers, now: () => Date): Promise<DatabaseProbe> {
  const { client } = await servers.connect()
  try {
    const { rows } = await client.query<ProbeRow>(
      `select current_setting('server_version') as version,
        pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only,
        has_schema_privilege(current_schema(), 'CREATE') as may_create,
        to_regclass('kysely_migration') is not null as has_records,
        clock_timestamp() as now`,
    )
    const [row] = rows
    if (row === undefined) throw new TypeError('PostgreSQL answered without a row')
    if (row.read_only) throw faultOf('25006')
    if (row.may_create !== true) throw faultOf('42501')
    return {
      description: `postgresql ${row.version}`,
      hasRecords: row.has_records,
      clock: { theirs: row.now, ours: now() },
    }
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** The same error as the server would give when we write. */
function faultOf(code: string): TtsError {
  return storeError(Object.assign(new Error('probe'), { code }))
}

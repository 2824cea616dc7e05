/** How each connection to PostgreSQL is opened. */
import pg from 'pg'
import { TtsError } from '../../base/errors.ts'
import { explainConnectionString } from '../../network/database-faults.ts'
import { listServers } from './server-list.ts'

export interface ConnectionSettings {
  readonly url: string
  /** Deadline of a query. */
  readonly timeoutMs: number
}

/** Options of the driver. Server settings are not among them: PgBouncer refuses them when a connection opens. */
export function connectionOptions({ url, timeoutMs }: ConnectionSettings): pg.ClientConfig {
  return {
    connectionString: url,
    connectionTimeoutMillis: timeoutMs,
    // Later than the server's own limit: this one is for a server or network that answers nothing at all.
    query_timeout: timeoutMs + 500,
    keepAlive: true,
    application_name: 'tts',
    types: { getTypeParser },
  }
}

/** int8 as a number: our integers are milliseconds and counts, far below 2^53. */
function getTypeParser(oid: number, format?: 'text' | 'binary'): unknown {
  if (oid === (pg.types.builtins.INT8 as number) && format !== 'binary') return Number
  return pg.types.getTypeParser(oid, format)
}

/**
 * Returns the statement that prepares a new session: the deadlines of the server, and commits that survive a crash of
 * the server, also where it is set to lose the last ones. It selects `read_only`: whether the server refuses writes.
 */
export function sessionStatement(timeoutMs: number): string {
  const statementMs = Math.ceil(timeoutMs)
  return `select set_config('statement_timeout', '${statementMs}', false),
    set_config('idle_in_transaction_session_timeout', '${statementMs * 2}', false),
    case when current_setting('synchronous_commit') = 'off'
      then set_config('synchronous_commit', 'on', false) end,
    pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only`
}

/**
 * Refuses a connection string that the driver cannot read, or whose servers cannot be used.
 *
 * @throws {TtsError} `configuration`; the message never repeats the connection string, which may hold a password
 */
export function checkConnectionString({ url, timeoutMs }: ConnectionSettings): void {
  try {
    // A pool parses the connection string, and reads the files that it names, only when it connects.
    for (const one of listServers(url).urls)
      void new pg.Client(connectionOptions({ url: one, timeoutMs }))
  } catch (error) {
    const problem = error instanceof RangeError ? error.message : explainConnectionString(error)
    throw new TtsError('configuration', `store.url: ${problem}`)
  }
}

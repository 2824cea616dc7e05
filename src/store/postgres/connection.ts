/** How each connection to PostgreSQL is opened. */
import pg from 'pg'
import { TtsError } from '../../base/errors.ts'
import { explainConnectionString, severalHosts } from '../../network/database-faults.ts'

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
 * the server, also where it is set to lose the last ones.
 */
export function sessionStatement(timeoutMs: number): string {
  const statementMs = Math.ceil(timeoutMs)
  return `select set_config('statement_timeout', '${statementMs}', false),
    set_config('idle_in_transaction_session_timeout', '${statementMs * 2}', false),
    case when current_setting('synchronous_commit') = 'off'
      then set_config('synchronous_commit', 'on', false) end`
}

/**
 * Refuses a connection string that the driver cannot read.
 *
 * @throws {TtsError} `configuration`; the message never repeats the connection string, which may hold a password
 */
export function checkConnectionString(settings: ConnectionSettings): void {
  const problem = severalHosts(settings.url)
  if (problem !== undefined) throw new TtsError('configuration', `store.url: ${problem}`)
  try {
    // A pool parses the connection string, and reads the files that it names, only when it connects.
    void new pg.Client(connectionOptions(settings))
  } catch (error) {
    throw new TtsError(
      'configuration',
      `store.url: ${explainConnectionString(settings.url, error)}`,
    )
  }
}

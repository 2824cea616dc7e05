/**
 * One SQLite connection in a thread of its own, so that an fsync holds up nobody but those who wait for it;
 * `sqlite-connection.ts` is the other end.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import type {
  SqliteAnswer,
  SqliteQuestion,
  SqliteStatement,
  StatementResult,
} from './sqlite-connection.ts'

const STATEMENT_CACHE = 200
const SQLITE_BUSY = 5

interface Prepared {
  readonly statement: StatementSync
  readonly returnsRows: boolean
}

const { path, busyTimeoutMs } = workerData as {
  readonly path: string
  readonly busyTimeoutMs: number
}
const port = parentPort
if (port === null) throw new Error('this file is the body of a thread')

const database = new DatabaseSync(path, { timeout: busyTimeoutMs })
const statements = new Map<string, Prepared>()

function prepare(sql: string): Prepared {
  const known = statements.get(sql)
  if (known !== undefined) {
    // Put last again: the first of the map is the one that was not used for longest.
    statements.delete(sql)
    statements.set(sql, known)
    return known
  }
  const statement = database.prepare(sql)
  const prepared = { statement, returnsRows: statement.columns().length > 0 }
  statements.set(sql, prepared)
  const oldest = statements.keys().next()
  if (statements.size > STATEMENT_CACHE && oldest.done !== true) statements.delete(oldest.value)
  return prepared
}

function run({ sql, parameters }: SqliteStatement): StatementResult {
  const { statement, returnsRows } = prepare(sql)
  const values = parameters as readonly SQLInputValue[]
  // Rows come as objects without prototype, which no message can carry.
  if (returnsRows) return { rows: statement.all(...values).map((row) => ({ ...row })), changes: 0 }
  return { rows: [], changes: Number(statement.run(...values).changes) }
}

/** Runs the statements in one transaction, unless the check selects a row. */
function transact({ steps, check }: NonNullable<SqliteQuestion['transaction']>): StatementResult {
  database.exec('begin immediate')
  try {
    for (const { sql, rows } of steps) for (const parameters of rows) run({ sql, parameters })
    const rows = check === undefined ? [] : run(check).rows
    database.exec(rows.length === 0 ? 'commit' : 'rollback')
    return { rows, changes: 0 }
  } catch (error) {
    // A full disk makes SQLite roll back by itself.
    if (database.isTransaction) database.exec('rollback')
    throw error
  }
}

/** The fields that tell errors apart, which a copied Error would lose. */
function fieldsOf(error: unknown): NonNullable<SqliteAnswer['error']> {
  if (!(error instanceof Error)) return { message: String(error) }
  const { message, code, errcode } = error as Error & { code?: string; errcode?: number }
  // The binding leaves the number out of some errors that come of waiting for another connection's lock.
  const busy = message === 'database is locked' ? SQLITE_BUSY : undefined
  const number = errcode ?? busy
  return {
    message,
    ...(code !== undefined && { code }),
    ...(number !== undefined && { errcode: number }),
  }
}

port.on('message', ({ id, statement, transaction }: SqliteQuestion & { readonly id: number }) => {
  const answer = (result: Omit<SqliteAnswer, 'id'>): void => port.postMessage({ id, ...result })
  try {
    if (transaction) answer(transact(transaction))
    else if (statement) answer(run(statement))
    else {
      database.close()
      answer({ rows: [], changes: 0 })
      port.close()
    }
  } catch (error) {
    answer({ error: fieldsOf(error) })
  }
})

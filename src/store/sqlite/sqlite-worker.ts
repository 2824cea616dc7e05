/**
 * One SQLite connection in a thread of its own, so that an fsync holds up nobody but those who wait for it;
 * `sqlite-connection.ts` is the other end.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import type {
  SqliteAnswer,
  SqliteQuestion,
  StatementResult,
  TransactionStep,
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

function run(sql: string, parameters: readonly unknown[]): StatementResult {
  const { statement, returnsRows } = prepare(sql)
  const values = parameters as readonly SQLInputValue[]
  // Rows come as objects without prototype, which no message can carry.
  if (returnsRows) return { rows: statement.all(...values).map((row) => ({ ...row })), changes: 0 }
  return { rows: [], changes: Number(statement.run(...values).changes) }
}

/** One transaction: each step's statement for each of its rows. What a refusing step finds undoes it all, and is the answer. */
function transact(steps: readonly TransactionStep[]): StatementResult {
  run('begin immediate', [])
  try {
    const found: unknown[] = []
    for (const { sql, rows, refuses } of steps) {
      for (const row of rows) {
        const result = run(sql, row)
        if (refuses) found.push(...result.rows)
      }
    }
    run(found.length === 0 ? 'commit' : 'rollback', [])
    return { rows: found, changes: 0 }
  } catch (error) {
    // A full disk makes SQLite roll back by itself.
    if (database.isTransaction) run('rollback', [])
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

port.on(
  'message',
  ({ id, sql, parameters = [], steps }: SqliteQuestion & { readonly id: number }) => {
    const answer = (result: Omit<SqliteAnswer, 'id'>): void => port.postMessage({ id, ...result })
    try {
      if (steps !== undefined) answer(transact(steps))
      else if (sql === undefined) {
        database.close()
        answer({ rows: [], changes: 0 })
        port.close()
      } else answer(run(sql, parameters))
    } catch (error) {
      answer({ error: fieldsOf(error) })
    }
  },
)

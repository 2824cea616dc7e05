/**
 * One SQLite connection in a thread of its own, so that an fsync holds up nobody but those who wait for it. Plain
 * JavaScript, because Node 20 starts no thread from TypeScript; `sqlite-connection.ts` is the other end.
 *
 * A message is `{ id, sql, parameters }`, or `{ id, steps }` for a whole transaction; the answer `{ id, rows, changes }`, or
 * `{ id, error }` with the fields that tell errors apart, which a copied Error would lose. A message with neither closes.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { DatabaseSync } from '@photostructure/sqlite'

const STATEMENT_CACHE = 200
const SQLITE_BUSY = 5

const { path, busyTimeoutMs } = workerData
const port = parentPort
if (port === null) throw new Error('this file is the body of a thread')

const database = new DatabaseSync(path, { timeout: busyTimeoutMs })
/** @type {Map<string, { statement: import('@photostructure/sqlite').StatementSyncInstance, returnsRows: boolean }>} */
const statements = new Map()

/** @param {string} sql */
function prepare(sql) {
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

/** @param {string} sql @param {readonly any[]} parameters */
function run(sql, parameters) {
  const { statement, returnsRows } = prepare(sql)
  // Rows come as objects without prototype, which no message can carry.
  if (returnsRows)
    return { rows: statement.all(...parameters).map((row) => ({ ...row })), changes: 0 }
  return { rows: [], changes: statement.run(...parameters).changes }
}

/**
 * One transaction: each step's statement for each of its rows. What a refusing step finds undoes it all, and is the answer.
 * @param {import('./sqlite-connection.ts').TransactionStep[]} steps
 */
function transact(steps) {
  run('begin immediate', [])
  try {
    /** @type {unknown[]} */
    const found = []
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

/** @param {unknown} error */
function fieldsOf(error) {
  if (!(error instanceof Error)) return { message: String(error) }
  const { message, code, errcode } = /** @type {Error & { code?: string, errcode?: number }} */ (
    error
  )
  // The binding leaves the number out of some errors that come of waiting for another connection's lock.
  return {
    message,
    code,
    errcode: errcode ?? (message === 'database is locked' ? SQLITE_BUSY : undefined),
  }
}

port.on('message', ({ id, sql, parameters, steps }) => {
  try {
    if (steps !== undefined) port.postMessage({ id, ...transact(steps) })
    else if (sql === undefined) {
      database.close()
      port.postMessage({ id, rows: [], changes: 0 })
      port.close()
    } else port.postMessage({ id, ...run(sql, parameters) })
  } catch (error) {
    port.postMessage({ id, error: fieldsOf(error) })
  }
})

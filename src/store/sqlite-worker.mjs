/**
 * One SQLite connection in a thread of its own, so that an fsync holds up nobody but those who wait for it. Plain
 * JavaScript, because Node 20 starts no thread from TypeScript; `sqlite-connection.ts` is the other end.
 *
 * A message is `{ id, sql, parameters }`; the answer `{ id, rows, changes }`, or `{ id, error }` with the fields that tell errors
 * apart, which a copied Error would lose. A message without `sql` closes.
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

/** @param {string} sql @param {any[]} parameters */
function run(sql, parameters) {
  const { statement, returnsRows } = prepare(sql)
  // Rows come as objects without prototype, which no message can carry.
  if (returnsRows)
    return { rows: statement.all(...parameters).map((row) => ({ ...row })), changes: 0 }
  return { rows: [], changes: statement.run(...parameters).changes }
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

port.on('message', ({ id, sql, parameters }) => {
  try {
    if (sql === undefined) {
      database.close()
      port.postMessage({ id, rows: [], changes: 0 })
      port.close()
    } else port.postMessage({ id, ...run(sql, parameters) })
  } catch (error) {
    port.postMessage({ id, error: fieldsOf(error) })
  }
})

import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'

/** What a statement gave. */
export interface StatementResult {
  readonly rows: unknown[]
  readonly changes: number
}

/** A statement of a transaction, carried out for each row of parameters. */
export interface TransactionStep {
  readonly sql: string
  readonly rows: readonly (readonly unknown[])[]
  /** What this step selects undoes the transaction. */
  readonly refuses?: boolean
}

/** One SQLite connection; its statements run in the order in which they are given. */
export interface SqliteConnection {
  execute(sql: string, parameters?: readonly unknown[]): Promise<StatementResult>
  /**
   * A whole transaction by one message, where each statement alone would be a way to the thread and back. Answers what
   * refused it: nothing of it was written then.
   */
  transact(steps: readonly TransactionStep[]): Promise<readonly unknown[]>
  /** Waits for what was given before. Safe to call twice. */
  close(): Promise<void>
}

/** What the thread answers: what the statement gave, or the error. */
export interface SqliteAnswer extends Partial<StatementResult> {
  readonly id: number
  readonly error?: { readonly message: string; readonly code?: string; readonly errcode?: number }
}

/** A statement, or a whole transaction; neither closes the connection. */
export interface SqliteQuestion {
  readonly sql?: string
  readonly parameters?: readonly unknown[]
  readonly steps?: readonly TransactionStep[]
}

interface Waiting {
  readonly resolve: (result: StatementResult) => void
  readonly reject: (error: Error) => void
}

/**
 * Opens a connection in a thread of its own (`sqlite-worker.ts`).
 *
 * @param busyTimeoutMs how long SQLite itself waits for another connection's lock
 * @throws Error of SQLite, by the first statement, when the file cannot be opened
 */
export function openSqliteConnection(path: string, busyTimeoutMs: number): SqliteConnection {
  const worker = new Worker(new URL(`sqlite-worker${extname(import.meta.url)}`, import.meta.url), {
    workerData: { path, busyTimeoutMs },
    // Nothing of this program's options or environment is for the thread.
    execArgv: [],
    env: {},
  })
  // An open store that nobody waits for keeps no process alive.
  worker.unref()
  const waiting = new Map<number, Waiting>()
  let ended: Error | undefined
  let closing: Promise<void> | undefined
  let lastId = 0

  const settle = (id: number): Waiting | undefined => {
    const found = waiting.get(id)
    waiting.delete(id)
    if (waiting.size === 0) worker.unref()
    return found
  }
  const end = (error: Error): void => {
    ended ??= error
    for (const id of waiting.keys()) settle(id)?.reject(error)
  }
  worker.on('message', (answer: SqliteAnswer) => {
    const found = settle(answer.id)
    if (answer.error) found?.reject(Object.assign(new Error(answer.error.message), answer.error))
    else
      found?.resolve({ rows: (answer.rows ?? []).map(withBuffers), changes: answer.changes ?? 0 })
  })
  worker.on('error', (error) => end(error instanceof Error ? error : new Error(String(error))))
  worker.on('exit', () => end(new Error('the database connection is closed')))

  const post = (message: SqliteQuestion) =>
    new Promise<StatementResult>((resolve, reject) => {
      if (ended) {
        reject(ended)
        return
      }
      lastId += 1
      waiting.set(lastId, { resolve, reject })
      worker.ref()
      worker.postMessage({ id: lastId, ...message })
    })
  return {
    execute: (sql, parameters = []) => post({ sql, parameters }),
    transact: async (steps) => (await post({ steps })).rows,
    close: () => {
      closing ??= ended ? Promise.resolve() : post({}).then(() => undefined)
      return closing
    },
  }
}

/** Blobs cross threads as Uint8Array; the rest of the store works with Buffers. */
function withBuffers(row: unknown): unknown {
  const fields = row as Record<string, unknown>
  for (const [name, value] of Object.entries(fields)) {
    if (value instanceof Uint8Array) {
      fields[name] = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    }
  }
  return fields
}

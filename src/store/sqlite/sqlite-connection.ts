import { createPendingAnswers } from '../../base/async.ts'
import { startThread } from '../../base/own-code.ts'

/** What a statement gave. */
export interface StatementResult {
  readonly rows: unknown[]
  readonly changes: number
}

/** A statement with the values of its parameters. */
export interface SqliteStatement {
  readonly sql: string
  readonly parameters: readonly unknown[]
}

/** A statement of a transaction, run for each row of parameters. */
export interface TransactionStep {
  readonly sql: string
  readonly rows: readonly (readonly unknown[])[]
}

/** One SQLite connection; its statements run in the order in which they are given. */
export interface SqliteConnection {
  execute(sql: string, parameters?: readonly unknown[]): Promise<StatementResult>
  /**
   * Runs a whole transaction by one message; each statement by itself would be a way to the thread and back. Answers
   * what `check` selects: when that is any row, nothing was written.
   */
  transact(
    statements: readonly SqliteStatement[],
    check: SqliteStatement | undefined,
  ): Promise<readonly unknown[]>
  /** Waits for the statements given before. Safe to call twice. */
  close(): Promise<void>
}

/** What the thread answers: the result of the statement, or the error. */
export interface SqliteAnswer extends Partial<StatementResult> {
  readonly id: number
  readonly error?: { readonly message: string; readonly code?: string; readonly errcode?: number }
}

/** A statement, a whole transaction, or, without either, the request to close the connection. */
export interface SqliteQuestion {
  readonly statement?: SqliteStatement
  readonly transaction?: {
    readonly steps: readonly TransactionStep[]
    readonly check: SqliteStatement | undefined
  }
}

/**
 * Opens a connection in a thread of its own (`sqlite-worker.ts`).
 *
 * @param busyTimeoutMs how long SQLite itself waits for another connection's lock
 * @throws Error of SQLite, by the first statement, when the file cannot be opened
 */
export function openSqliteConnection(path: string, busyTimeoutMs: number): SqliteConnection {
  const workerData = { path, busyTimeoutMs }
  const worker = startThread('sqlite-worker', import.meta.url, { workerData })
  // An open store that nobody waits for keeps no process alive.
  worker.unref()
  const pending = createPendingAnswers<StatementResult>()
  let ended: Error | undefined
  let closing: Promise<void> | undefined

  const end = (error: Error): void => {
    ended ??= error
    pending.rejectAll(error)
  }
  worker.on('message', ({ id, error, rows = [], changes = 0 }: SqliteAnswer) => {
    pending.settle(
      id,
      error
        ? Object.assign(new Error(error.message), error)
        : { rows: rows.map(withBuffers), changes },
    )
    if (pending.size === 0) worker.unref()
  })
  worker.on('error', (error) => end(error instanceof Error ? error : new Error(String(error))))
  worker.on('exit', () => end(new Error('the database connection is closed')))

  const post = async (question: SqliteQuestion): Promise<StatementResult> => {
    if (ended) throw ended
    return await pending.ask((id) => {
      worker.ref()
      worker.postMessage({ id, ...question })
    })
  }
  return {
    execute: (sql, parameters = []) => post({ statement: { sql, parameters } }),
    transact: async (statements, check) => {
      const transaction = { steps: stepsOf(statements), check: check && plain(check) }
      return (await post({ transaction })).rows
    },
    close: () => {
      closing ??= ended ? Promise.resolve() : post({}).then(() => undefined)
      return closing
    },
  }
}

/** Without the parts of a Kysely query that no message can carry. */
const plain = ({ sql, parameters }: SqliteStatement): SqliteStatement => ({ sql, parameters })

/** Statements of the same text become one step, so that the text crosses to the thread once. */
function stepsOf(statements: readonly SqliteStatement[]): readonly TransactionStep[] {
  const steps: { readonly sql: string; readonly rows: (readonly unknown[])[] }[] = []
  for (const { sql, parameters } of statements) {
    const last = steps.at(-1)
    if (last?.sql === sql) last.rows.push(parameters)
    else steps.push({ sql, rows: [parameters] })
  }
  return steps
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

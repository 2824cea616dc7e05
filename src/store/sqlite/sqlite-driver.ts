import {
  CompiledQuery,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
} from 'kysely'
import { createMutex, type Mutex, retryFor } from '../../base/async.ts'
import type { SqliteConnection } from './sqlite-connection.ts'
import { isBusy, storeUnavailable } from '../store-error.ts'

/** One SQLite connection as a Kysely dialect. A locked database is waited for without blocking the event loop. */
export function sqliteDialect(
  connection: SqliteConnection,
  timeoutMs: number,
  turns = createMutex(),
): Dialect {
  return {
    createAdapter: () => new TransactionalDdlAdapter(),
    createDriver: () => new SqliteDriver(connection, timeoutMs, turns),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  }
}

/**
 * Runs `action` again until no other connection holds SQLite's lock.
 *
 * @throws TtsError `store_unavailable` after `timeoutMs`.
 */
export async function retryWhileBusy<Value>(
  action: () => Promise<Value>,
  timeoutMs: number,
): Promise<Value> {
  let busy: unknown
  const attempt = async (): Promise<{ readonly value: Value } | undefined> => {
    try {
      return { value: await action() }
    } catch (error) {
      if (!isBusy(error)) throw error
      busy = error
      return undefined
    }
  }
  const pauses = { firstPauseMs: 1, longestPauseMs: 16 }
  const done = await retryFor(attempt, { ...pauses, milliseconds: timeoutMs })
  if (done === undefined) throw storeUnavailable(busy)
  return done.value
}

/**
 * SQLite can change its schema in a transaction, and BEGIN IMMEDIATE is then the lock between two starting processes.
 */
class TransactionalDdlAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

class SqliteDriver implements Driver {
  readonly #connection: StatementRunner
  readonly #close: () => Promise<void>
  readonly #turns: Mutex
  #release: () => void = () => undefined

  constructor(connection: SqliteConnection, timeoutMs: number, turns: Mutex) {
    this.#turns = turns
    this.#connection = new StatementRunner(connection, timeoutMs)
    this.#close = () => connection.close()
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    this.#release = await this.#turns.lock()
    return this.#connection
  }

  /** IMMEDIATE: the write lock is taken (and waited for) here, never in the middle of a transaction. */
  async beginTransaction(): Promise<void> {
    await this.#connection.executeQuery(CompiledQuery.raw('begin immediate'))
    this.#connection.inTransaction = true
  }

  async commitTransaction(): Promise<void> {
    await this.#connection.executeQuery(CompiledQuery.raw('commit'))
    this.#connection.inTransaction = false
  }

  async rollbackTransaction(): Promise<void> {
    this.#connection.inTransaction = false
    try {
      await this.#connection.executeQuery(CompiledQuery.raw('rollback'))
    } catch (error) {
      // A full disk makes SQLite roll back by itself; there is then nothing left to roll back.
      if (!(error instanceof Error) || !error.message.includes('no transaction is active'))
        throw error
    }
  }

  async releaseConnection(): Promise<void> {
    this.#release()
  }

  async destroy(): Promise<void> {
    await this.#close()
  }
}

class StatementRunner implements DatabaseConnection {
  readonly #connection: SqliteConnection
  readonly #timeoutMs: number
  inTransaction = false

  constructor(connection: SqliteConnection, timeoutMs: number) {
    this.#connection = connection
    this.#timeoutMs = timeoutMs
  }

  async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    if (this.inTransaction) return this.#run(query)
    return await retryWhileBusy(() => this.#run<Row>(query), this.#timeoutMs)
  }

  // oxlint-disable-next-line require-yield -- part of Kysely's interface, not used here
  async *streamQuery<Row>(): AsyncIterableIterator<QueryResult<Row>> {
    throw new TypeError('streaming is not used on SQLite')
  }

  async #run<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const { rows, changes } = await this.#connection.execute(sql, parameters)
    return { rows: rows as Row[], numAffectedRows: BigInt(changes) }
  }
}

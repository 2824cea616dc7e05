import { setTimeout as sleep } from 'node:timers/promises'
import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite'
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
import { isBusy, unavailable } from './store-error.ts'

const STATEMENT_CACHE = 200

/** One SQLite connection as a Kysely dialect. A locked database is waited for without blocking the event loop. */
export function sqliteDialect(database: DatabaseSyncInstance, timeoutMs: number): Dialect {
  return {
    createAdapter: () => new TransactionalDdlAdapter(),
    createDriver: () => new SqliteConnectionDriver(database, timeoutMs),
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
  action: () => Value,
  timeoutMs: number,
): Promise<Value> {
  const end = performance.now() + timeoutMs
  let pauseMs = 1
  for (;;) {
    try {
      return action()
    } catch (error) {
      if (!isBusy(error)) throw error
      if (performance.now() > end) throw unavailable(error)
    }
    await sleep(pauseMs)
    pauseMs = Math.min(pauseMs * 2, 16)
  }
}

/** SQLite can change its schema in a transaction, and BEGIN IMMEDIATE is then the lock between two starting processes. */
class TransactionalDdlAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

class SqliteConnectionDriver implements Driver {
  readonly #connection: SqliteConnection
  readonly #database: DatabaseSyncInstance
  #last: Promise<void> = Promise.resolve()
  #release: () => void = () => undefined

  constructor(database: DatabaseSyncInstance, timeoutMs: number) {
    this.#database = database
    this.#connection = new SqliteConnection(database, timeoutMs)
  }

  async init(): Promise<void> {}

  /** Callers take turns on the one connection, so that no statement slips into another caller's transaction. */
  async acquireConnection(): Promise<DatabaseConnection> {
    const previous = this.#last
    let release = (): void => undefined
    this.#last = new Promise((resolve) => {
      release = resolve
    })
    await previous
    this.#release = release
    return this.#connection
  }

  /** IMMEDIATE: the write lock is taken (and waited for) here, never in the middle of a transaction. */
  async beginTransaction(): Promise<void> {
    await this.#connection.executeQuery(CompiledQuery.raw('begin immediate'))
  }

  async commitTransaction(): Promise<void> {
    await this.#connection.executeQuery(CompiledQuery.raw('commit'))
  }

  async rollbackTransaction(): Promise<void> {
    // A full disk makes SQLite roll back by itself.
    if (this.#database.isTransaction)
      await this.#connection.executeQuery(CompiledQuery.raw('rollback'))
  }

  async releaseConnection(): Promise<void> {
    this.#release()
  }

  async destroy(): Promise<void> {
    if (this.#database.isOpen) this.#database.close()
  }
}

interface PreparedStatement {
  readonly statement: StatementSyncInstance
  readonly returnsRows: boolean
}

class SqliteConnection implements DatabaseConnection {
  readonly #database: DatabaseSyncInstance
  readonly #timeoutMs: number
  readonly #statements = new Map<string, PreparedStatement>()

  constructor(database: DatabaseSyncInstance, timeoutMs: number) {
    this.#database = database
    this.#timeoutMs = timeoutMs
  }

  async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    if (this.#database.isTransaction) return this.#run(query)
    return await retryWhileBusy(() => this.#run<Row>(query), this.#timeoutMs)
  }

  // oxlint-disable-next-line require-yield -- part of Kysely's interface, not used here
  async *streamQuery<Row>(): AsyncIterableIterator<QueryResult<Row>> {
    throw new TypeError('streaming is not used on SQLite')
  }

  #run<Row>({ sql, parameters }: CompiledQuery): QueryResult<Row> {
    const { statement, returnsRows } = this.#prepare(sql)
    if (returnsRows) return { rows: statement.all(...parameters) as Row[] }
    const { changes } = statement.run(...parameters)
    return { rows: [], numAffectedRows: BigInt(changes) }
  }

  #prepare(sql: string): PreparedStatement {
    const known = this.#statements.get(sql)
    if (known !== undefined) {
      // Put last again: the first of the map is the one that was not used for longest.
      this.#statements.delete(sql)
      this.#statements.set(sql, known)
      return known
    }
    const statement = this.#database.prepare(sql)
    const prepared = { statement, returnsRows: statement.columns().length > 0 }
    this.#statements.set(sql, prepared)
    const oldest = this.#statements.keys().next()
    if (this.#statements.size > STATEMENT_CACHE && oldest.done !== true)
      this.#statements.delete(oldest.value)
    return prepared
  }
}

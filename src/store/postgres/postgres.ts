import { CompiledQuery, Kysely, PostgresDialect, type PostgresPoolClient } from 'kysely'
import pg from 'pg'
import { checkConnectionString, connectionOptions, sessionStatement } from './connection.ts'
import { createPostgresLocks } from './postgres-locks.ts'
import type { Database, Tables } from '../schema/tables.ts'

/** How PostgreSQL is reached. */
export interface PostgresOptions {
  readonly url: string
  readonly poolSize: number
  readonly timeoutMs: number
}

/**
 * A bounded pool of connections, each question with a deadline on both sides. Nothing is connected yet.
 *
 * @throws {TtsError} `configuration` (the connection string cannot be read)
 */
export function openPostgres({ url, poolSize, timeoutMs }: PostgresOptions): Database {
  const pool = createPool({ url, poolSize, timeoutMs })
  // An idle connection that breaks is an event of the pool; without a listener it would end the process.
  pool.on('error', () => undefined)
  const clients = new WeakMap<pg.PoolClient, CheckedClient>()
  const connect = async (): Promise<PostgresPoolClient> => {
    const client = await pool.connect()
    const checked = clients.get(client) ?? new CheckedClient(client)
    clients.set(client, checked)
    return checked as unknown as PostgresPoolClient
  }
  const dialect = new PostgresDialect({
    pool: { connect, end: () => pool.end() },
    onCreateConnection: async (connection) => {
      await connection.executeQuery(CompiledQuery.raw(sessionStatement(timeoutMs)))
    },
  })
  const db = new Kysely<Tables>({ dialect })
  const locks = createPostgresLocks({ url, timeoutMs })
  const destroy = async (): Promise<void> => {
    await locks.close()
    await db.destroy()
  }
  return {
    kind: 'postgresql',
    reads: db,
    writes: db,
    timeoutMs,
    locks,
    refreshLocks: locks,
    transact: (statements, check) => transact(db, statements, check),
    destroy,
  }
}

async function transact(
  db: Kysely<Tables>,
  statements: readonly CompiledQuery[],
  check: CompiledQuery | undefined,
): Promise<readonly unknown[]> {
  let rows: readonly unknown[] = []
  const foundRows = new Error('the check selected rows')
  try {
    await db.transaction().execute(async (transaction) => {
      for (const statement of statements) await transaction.executeQuery(statement)
      if (check) rows = (await transaction.executeQuery(check)).rows
      // Kysely rolls back for what is thrown.
      if (rows.length > 0) throw foundRows
    })
  } catch (error) {
    if (error !== foundRows) throw error
  }
  return rows
}

function createPool({ url, poolSize, timeoutMs }: PostgresOptions): pg.Pool {
  checkConnectionString({ url, timeoutMs })
  return new pg.Pool({
    ...connectionOptions({ url, timeoutMs }),
    max: poolSize,
  })
}

/** A pooled connection that is thrown away, not pooled again, once a question on it got no answer. */
class CheckedClient {
  readonly #client: pg.PoolClient
  #broken = false

  constructor(client: pg.PoolClient) {
    this.#client = client
  }

  async query(sql: string, parameters: unknown[]): Promise<pg.QueryResult> {
    try {
      return await this.#client.query(sql, parameters)
    } catch (error) {
      // An error with a SQLSTATE is an answer; after anything else the connection's state is not known.
      if (!(error instanceof pg.DatabaseError)) this.#broken = true
      throw error
    }
  }

  release(): void {
    this.#client.release(this.#broken)
  }
}

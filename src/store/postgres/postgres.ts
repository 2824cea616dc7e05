import { type CompiledQuery, Kysely, PostgresDialect } from 'kysely'
import { createPostgresLocks } from './postgres-locks.ts'
import { createWritablePool } from './pool.ts'
import { createServers } from './servers.ts'
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
  const servers = createServers({ url, timeoutMs })
  const pool = createWritablePool(servers, { poolSize, timeoutMs })
  const dialect = new PostgresDialect({ pool })
  const db = new Kysely<Tables>({ dialect })
  const locks = createPostgresLocks(servers)
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

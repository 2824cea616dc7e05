import type { StoreSettings } from '../config/store-schema.ts'
import { refuseTransactionPooler } from './postgres/pooler.ts'
import { openPostgres } from './postgres/postgres.ts'
import type { Database } from './schema/tables.ts'
import { storeError } from './store-error.ts'
import { openSqlite } from './sqlite/sqlite.ts'

/**
 * Opens PostgreSQL when `settings.url` is set, otherwise the SQLite file `settings.path` (absolute).
 *
 * @throws {TtsError} `configuration`, `store_unavailable`
 */
export async function openDatabase(settings: StoreSettings): Promise<Database> {
  const timeoutMs = Math.round(settings.timeout_seconds * 1000)
  if (settings.url === undefined) return await openSqlite(settings.path, timeoutMs)
  const { url, pool_size: poolSize } = settings
  const database = openPostgres({ url, poolSize, timeoutMs })
  try {
    await refuseTransactionPooler({ url, timeoutMs })
    return database
  } catch (error) {
    await database.destroy().catch(() => undefined)
    throw storeError(error)
  }
}

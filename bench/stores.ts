/** The databases of the stages: SQLite files, and databases of one PostgreSQL server that starts when it is needed. */
import { join } from 'node:path'
import {
  missingPostgresPackage,
  type PostgresCluster,
  startPostgres,
} from '../test/support/postgres.ts'
import type { Stage } from './plan.ts'
import type { Target } from './programs.ts'
import { fillPostgres, fillSqlite } from './rows.ts'
import { type ServiceOptions, startService } from './service.ts'

export interface Stores {
  /** Starts the service of a stage, with its rows on record. */
  readonly start: (options: ServiceOptions, stage: Stage) => Promise<Target>
  readonly close: () => Promise<void>
}

/** The Debian package that a stage needs and that is missing, or undefined. */
export const missingStorePackage = ({ store }: Stage): string | undefined =>
  store === 'postgres' ? missingPostgresPackage : undefined

export function openStores(say: (text: string) => void): Stores {
  let cluster: Promise<PostgresCluster> | undefined
  return {
    start: async (options, { store, rows }) => {
      cluster ??= store === 'postgres' ? startPostgres() : undefined
      const postgresUrl = store === 'postgres' ? await (await cluster)?.createDatabase() : undefined
      const complete = { ...options, postgresUrl }
      const service = await startService(complete)
      if (rows === 0) return service
      // It has made its schema; now it must not look.
      await service.stop()
      say(`making ${rows.toLocaleString('en-US')} rows, ${store}`)
      const rowOptions = { count: rows, issuer: options.provider.issuer, now: Date.now() }
      if (postgresUrl !== undefined) await fillPostgres(postgresUrl, rowOptions)
      else await fillSqlite(join(options.directory, 'data/tts.db'), rowOptions)
      return startService(complete)
    },
    close: async () => (await cluster)?.stop(),
  }
}

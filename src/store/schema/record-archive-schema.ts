import type { Kysely } from 'kysely'
import type { ColumnTypes } from './delegation-schema.ts'
import type { Tables } from './tables.ts'

/** Schema change 0012: how many rows have moved to the archive, of the kinds that are counted for CRL and KRL. */
export async function addArchivedCounts(
  { schema }: Kysely<Tables>,
  { text }: ColumnTypes,
): Promise<void> {
  await schema
    .createTable('archived_counts')
    .addColumn('kind', text, (column) => column.primaryKey())
    .addColumn('records', 'bigint', (column) => column.notNull())
    .execute()
}

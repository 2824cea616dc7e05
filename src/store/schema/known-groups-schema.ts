import type { Kysely } from 'kysely'
import type { ColumnTypes } from './delegation-schema.ts'
import type { Tables } from './tables.ts'

/** Schema change 0009: the groups in the newest token of each identity, for VOMS attributes. */
export async function addKnownGroups(
  { schema }: Kysely<Tables>,
  { text }: ColumnTypes,
): Promise<void> {
  await schema
    .createTable('known_groups')
    .addColumn('identity_id', text, (column) => column.primaryKey().references('identities.id'))
    .addColumn('stated_at', 'bigint', (column) => column.notNull())
    .addColumn('groups', text, (column) => column.notNull())
    .execute()
}

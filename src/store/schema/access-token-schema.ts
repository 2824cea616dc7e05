import type { Kysely } from 'kysely'
import type { ColumnTypes } from './delegation-schema.ts'
import type { Tables } from './tables.ts'

/** Schema change 0010: the keys that sign access tokens, and the groups that are written into these. */
export async function addAccessTokens(
  { schema }: Kysely<Tables>,
  { text, bytes }: ColumnTypes,
): Promise<void> {
  await schema
    .createTable('token_keys')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('master_key_id', text, (column) => column.notNull())
    .addColumn('sealed_key', bytes, (column) => column.notNull())
    .execute()
  await schema
    .createTable('latest_groups')
    .addColumn('identity_id', text, (column) => column.primaryKey().references('identities.id'))
    .addColumn('stated_at', 'bigint', (column) => column.notNull())
    .addColumn('groups', text, (column) => column.notNull())
    .execute()
}

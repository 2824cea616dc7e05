import type { Kysely } from 'kysely'
import type { ColumnTypes } from './delegation-schema.ts'
import type { Tables } from './tables.ts'

/** Schema change 0010: the keys that sign access tokens. */
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
}

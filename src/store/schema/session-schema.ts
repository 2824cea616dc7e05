import type { Kysely } from 'kysely'
import type { ColumnTypes } from './delegation-schema.ts'
import type { Tables } from './tables.ts'

/** Schema change: sessions of the web page. */
export async function addWebSessions(
  { schema }: Kysely<Tables>,
  { text, bytes }: ColumnTypes,
): Promise<void> {
  await schema
    .createTable('web_sessions')
    .addColumn('id_digest', text, (column) => column.primaryKey())
    .addColumn('owner_digest', text, (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('last_used_at', 'bigint', (column) => column.notNull())
    .addColumn('ends_at', 'bigint', (column) => column.notNull())
    .addColumn('master_key_id', text, (column) => column.notNull())
    .addColumn('sealed', bytes, (column) => column.notNull())
    .execute()
  await schema
    .createIndex('web_sessions_owner')
    .on('web_sessions')
    .columns(['owner_digest', 'created_at'])
    .execute()
  await schema.createIndex('web_sessions_ends').on('web_sessions').column('ends_at').execute()
}

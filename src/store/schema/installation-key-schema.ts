import { type Kysely, sql } from 'kysely'
import type { ColumnTypes } from './delegation-schema.ts'
import type { Tables } from './tables.ts'

/**
 * Schema change 0007: the keys that these records belong to (CA, SSH CA, master keys), and an id of the database. So
 * a program never continues with a CA or a master key that the records do not know.
 */
export async function addInstallationKeys(
  { schema }: Kysely<Tables>,
  { text }: ColumnTypes,
): Promise<void> {
  await schema
    .createTable('installation_keys')
    .addColumn('kind', text, (column) => column.notNull())
    .addColumn('key_id', text, (column) => column.notNull())
    .addColumn('fingerprint', text, (column) => column.notNull())
    .addColumn('name', text, (column) => column.notNull())
    .addColumn('state', text, (column) => column.notNull())
    .addColumn('since', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('installation_keys_key', ['kind', 'key_id'])
    .execute()
  // Of two processes that record a first key at the same time, one fails here and then finds the other's key.
  await schema
    .createIndex('installation_keys_current')
    .unique()
    .on('installation_keys')
    .column('kind')
    .where(sql<boolean>`state = 'current'`)
    .execute()
}

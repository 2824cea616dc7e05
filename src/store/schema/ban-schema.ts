import type { Kysely } from 'kysely'
import type { ColumnTypes } from './delegation-schema.ts'
import type { Tables } from './tables.ts'

/**
 * Schema change 0008: bans, the identities that they hold for, and the groups that each identity was last seen with,
 * which a ban of a group needs.
 */
export async function addBans({ schema }: Kysely<Tables>, { text }: ColumnTypes): Promise<void> {
  await schema
    .createTable('bans')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('kind', text, (column) => column.notNull())
    .addColumn('issuer', text)
    .addColumn('value', text, (column) => column.notNull())
    .addColumn('reason', text, (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('created_by', text, (column) => column.notNull())
    .addColumn('lifted_at', 'bigint')
    .execute()
  await schema
    .createTable('banned_identities')
    .addColumn('identity_id', text, (column) => column.notNull().references('identities.id'))
    .addColumn('ban_id', text, (column) => column.notNull().references('bans.id'))
    .addPrimaryKeyConstraint('banned_identities_key', ['identity_id', 'ban_id'])
    .execute()
  await schema.alterTable('identities').addColumn('groups', text).execute()
}

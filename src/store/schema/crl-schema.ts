import { sql, type Kysely } from 'kysely'
import type { ColumnTypes } from './delegation-schema.ts'
import type { Tables } from './tables.ts'

/** Schema change 0006: the bytes of a CRL in parts, each of which is written by a commit of its own. */
export async function addCrlParts(db: Kysely<Tables>, types: ColumnTypes): Promise<void> {
  const { schema } = db
  const { text, bytes } = types
  await schema
    .createTable('crl_parts')
    .addColumn('crl_id', text, (column) => column.notNull())
    .addColumn('position', 'integer', (column) => column.notNull())
    .addColumn('this_update', 'bigint', (column) => column.notNull())
    .addColumn('bytes', bytes, (column) => column.notNull())
    .addPrimaryKeyConstraint('crl_parts_key', ['crl_id', 'position'])
    .execute()
  await schema
    .createTable('crls_0006')
    .addColumn('number', 'bigint', (column) => column.primaryKey())
    .addColumn('id', text, (column) => column.notNull())
    .addColumn('this_update', 'bigint', (column) => column.notNull())
    .addColumn('next_update', 'bigint', (column) => column.notNull())
    .addColumn('length', 'bigint', (column) => column.notNull())
    .addColumn('revocations', 'bigint', (column) => column.notNull())
    .execute()
  await sql`insert into crl_parts (crl_id, position, this_update, bytes)
    select cast(number as text), 0, this_update, der from crls`.execute(db)
  await sql`insert into crls_0006 (number, id, this_update, next_update, length, revocations)
    select number, cast(number as text), this_update, next_update, length(der), revocations from crls`.execute(
    db,
  )
  await schema.dropTable('crls').execute()
  await schema.alterTable('crls_0006').renameTo('crls').execute()
}

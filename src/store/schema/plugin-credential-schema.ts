import { sql, type Kysely } from 'kysely'
import type { ColumnTypes } from './delegation-schema.ts'
import type { DatabaseKind, Tables } from './tables.ts'

/**
 * Schema change 0003: credentials without an EEC or an end of their own, plugins' states, serial numbers of SSH
 * certificates, revocation and forgetting of single credentials; and answers that wait to be picked up.
 */
export async function addPluginCredentials(
  db: Kysely<Tables>,
  kind: DatabaseKind,
  types: ColumnTypes,
): Promise<void> {
  if (kind === 'sqlite') await rebuildCredentials(db, types)
  else await loosenCredentials(db)
  const texts = ['plugin_state', 'state_digest', 'ssh_serial', 'revocation_reason'] as const
  for (const name of texts)
    await db.schema.alterTable('credentials').addColumn(name, types.text).execute()
  for (const name of ['revoked_at', 'forgotten_at'] as const)
    await db.schema.alterTable('credentials').addColumn(name, 'bigint').execute()
  await db.schema
    .createIndex('credentials_state')
    .on('credentials')
    .columns(['identity_id', 'service_id', 'state_digest'])
    .unique()
    .where(sql.ref('state_digest'), 'is not', null)
    .where(sql.ref('revoked_at'), 'is', null)
    .execute()
  await db.schema
    .createIndex('credentials_revoked_ssh')
    .on('credentials')
    .column('not_after')
    .where(sql.ref('ssh_serial'), 'is not', null)
    .where(sql.ref('revoked_at'), 'is not', null)
    .execute()
  await createPickups(db, types)
}

async function loosenCredentials({ schema }: Kysely<Tables>): Promise<void> {
  for (const column of ['end_entity_serial', 'not_after']) {
    await schema
      .alterTable('credentials')
      .alterColumn(column, (change) => change.dropNotNull())
      .execute()
  }
}

/** SQLite takes no NOT NULL away: a new table takes the old one's rows and place. */
async function rebuildCredentials(db: Kysely<Tables>, { text }: ColumnTypes): Promise<void> {
  const { schema } = db
  await schema
    .createTable('credentials_0003')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('identity_id', text, (column) => column.notNull().references('identities.id'))
    .addColumn('service_id', text, (column) => column.notNull())
    .addColumn('end_entity_serial', text, (column) => column.references('certificates.serial'))
    .addColumn('issued_at', 'bigint', (column) => column.notNull())
    .addColumn('not_after', 'bigint')
    .addColumn('client_id', text)
    .addColumn('request_id', text, (column) => column.notNull())
    .addColumn('address', text, (column) => column.notNull())
    .addColumn('interface', text, (column) => column.notNull())
    .addColumn('delegation_id', text)
    .addColumn('renewed_from', text)
    .addColumn('first_issued_at', 'bigint')
    .execute()
  const columns = sql.raw(
    'id, identity_id, service_id, end_entity_serial, issued_at, not_after, client_id, request_id, address, interface, delegation_id, renewed_from, first_issued_at',
  )
  await sql`insert into credentials_0003 (${columns}) select ${columns} from credentials`.execute(
    db,
  )
  await schema.dropTable('credentials').execute()
  await schema.alterTable('credentials_0003').renameTo('credentials').execute()
  const indexes = {
    credentials_identity: ['identity_id', 'issued_at', 'id'],
    credentials_issued: ['issued_at', 'id'],
    credentials_end_entity: ['end_entity_serial'],
  } as const
  for (const [name, of] of Object.entries(indexes)) {
    await schema
      .createIndex(name)
      .on('credentials')
      .columns([...of])
      .execute()
  }
}

async function createPickups(
  { schema }: Kysely<Tables>,
  { text, bytes }: ColumnTypes,
): Promise<void> {
  await schema
    .createTable('pickups')
    .addColumn('id_digest', text, (column) => column.primaryKey())
    .addColumn('owner_digest', text, (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('master_key_id', text, (column) => column.notNull())
    .addColumn('sealed', bytes, (column) => column.notNull())
    .execute()
  await schema.createIndex('pickups_expires').on('pickups').column('expires_at').execute()
}

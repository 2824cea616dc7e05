import type { Kysely, RawBuilder } from 'kysely'
import type { Tables } from './tables.ts'

/** Column types that the two databases call by different names. */
export interface ColumnTypes {
  readonly text: RawBuilder<unknown>
  readonly bytes: RawBuilder<unknown>
  readonly autoId: RawBuilder<unknown>
}

/** Schema change 0002: delegations, their ledgers, and by what a credential was renewed. */
export async function addDelegations(db: Kysely<Tables>, types: ColumnTypes): Promise<void> {
  await createDelegations(db, types)
  await createEvents(db, types)
  const { schema } = db
  await schema.alterTable('credentials').addColumn('delegation_id', types.text).execute()
  await schema.alterTable('credentials').addColumn('renewed_from', types.text).execute()
  await schema.alterTable('credentials').addColumn('first_issued_at', 'bigint').execute()
  await schema
    .createTable('used_proofs')
    .addColumn('digest', types.text, (column) => column.primaryKey())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .execute()
}

async function createDelegations(
  { schema }: Kysely<Tables>,
  { text, bytes }: ColumnTypes,
): Promise<void> {
  await schema
    .createTable('delegations')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('identity_id', text, (column) => column.notNull().references('identities.id'))
    .addColumn('provider_id', text, (column) => column.notNull())
    .addColumn('label', text)
    .addColumn('state', text, (column) => column.notNull())
    .addColumn('secret_hash', text, (column) => column.notNull())
    .addColumn('client_id', text)
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('last_used_at', 'bigint')
    .addColumn('renews_until', 'bigint', (column) => column.notNull())
    .addColumn('rotates', 'integer')
    .addColumn('ended_at', 'bigint')
    .addColumn('end_reason', text)
    .addColumn('request_id', text, (column) => column.notNull())
    .addColumn('address', text, (column) => column.notNull())
    .addColumn('interface', text, (column) => column.notNull())
    .addColumn('sealed_custody', bytes)
    .addColumn('master_key_id', text)
    .addColumn('notice_given_for', 'bigint')
    .addColumn('notice_claimed_until', 'bigint')
    .execute()
  const indexes = {
    delegations_identity: ['identity_id', 'created_at', 'id'],
    delegations_created: ['created_at', 'id'],
    delegations_ends: ['state', 'renews_until'],
  } as const
  for (const [name, columns] of Object.entries(indexes)) {
    await schema
      .createIndex(name)
      .on('delegations')
      .columns([...columns])
      .execute()
  }
}

async function createEvents(
  { schema }: Kysely<Tables>,
  { text, autoId }: ColumnTypes,
): Promise<void> {
  await schema
    .createTable('delegation_events')
    .addColumn('id', autoId, (column) => column.primaryKey())
    .addColumn('delegation_id', text, (column) => column.notNull().references('delegations.id'))
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('event', text, (column) => column.notNull())
    .addColumn('outcome', text, (column) => column.notNull())
    .addColumn('request_id', text, (column) => column.notNull())
    .addColumn('address', text, (column) => column.notNull())
    .addColumn('interface', text, (column) => column.notNull())
    .addColumn('detail', text)
    .execute()
  await schema
    .createIndex('delegation_events_ledger')
    .on('delegation_events')
    .columns(['delegation_id', 'at', 'id'])
    .execute()
  await schema
    .createIndex('delegation_events_at')
    .on('delegation_events')
    .columns(['at', 'id'])
    .execute()
}

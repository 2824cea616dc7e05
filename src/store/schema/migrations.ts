import { Migrator, sql, type Kysely, type Migration } from 'kysely'
import { addAccessTokens } from './access-token-schema.ts'
import { addBans } from './ban-schema.ts'
import { isNewerButUsable } from './compatibility.ts'
import { addKnownGroups } from './known-groups-schema.ts'
import { addCrlParts } from './crl-schema.ts'
import { addDelegations, type ColumnTypes } from './delegation-schema.ts'
import { addInstallationKeys } from './installation-key-schema.ts'
import { addPluginCredentials } from './plugin-credential-schema.ts'
import { addArchivedCounts } from './record-archive-schema.ts'
import { addWebSessions } from './session-schema.ts'
import { storeError } from '../store-error.ts'
import type { Database, DatabaseKind, Tables } from './tables.ts'

/**
 * Brings the schema to this program's version. Several processes may start at once: one migrates (PostgreSQL: advisory
 * lock, SQLite: write transaction), the others wait and find it done. A newer schema that this program can work with
 * stays as it is.
 *
 * @throws TtsError `configuration` when the database was made by a newer version that this program cannot work with.
 */
export async function migrate(database: Database): Promise<void> {
  const migrations = schemaMigrations(database.kind)
  const isNewer = async (): Promise<boolean> =>
    isNewerButUsable(Object.keys(migrations), await changesOf(database))
  if (await isNewer()) return
  const migrator = new Migrator({
    db: database.writes,
    provider: { getMigrations: () => Promise.resolve(migrations) },
  })
  const { error } = await migrator.migrateToLatest()
  // A replica of the next release may have been faster, and then the migrator finds changes that it does not know.
  if (error !== undefined && !(await isNewer())) throw storeError(error)
}

async function changesOf({ writes }: Database): Promise<readonly string[]> {
  const tables = await writes.introspection.getTables({ withInternalKyselyTables: true })
  if (!tables.some((table) => table.name === 'kysely_migration')) return []
  const done = await sql<{ name: string }>`select name from kysely_migration`.execute(writes)
  return done.rows.map(({ name }) => name)
}

const columnTypes: Record<DatabaseKind, ColumnTypes> = {
  sqlite: {
    text: sql`text`,
    bytes: sql`blob`,
    autoId: sql`integer`,
  },
  postgresql: {
    // Byte order: an index over a language's order is silently wrong after an upgrade of libc or ICU.
    text: sql`text collate "C"`,
    bytes: sql`bytea`,
    autoId: sql`bigint generated always as identity`,
  },
}

/**
 * Never change one that was released: add the next, with a name as in `compatibility.ts`. CONTRIBUTING.md says how.
 */
export function schemaMigrations(kind: DatabaseKind): Record<string, Migration> {
  const types = columnTypes[kind]
  return {
    '0001_records': {
      up: async (db: Kysely<Tables>) => {
        await createIdentities(db, types)
        await createCertificates(db, types)
        await createEndEntityKeys(db, types)
        await createCredentials(db, types)
        await createRevocations(db, types)
        await createAudit(db, types)
      },
    },
    '0002_delegations': {
      up: (db: Kysely<Tables>) => addDelegations(db, types),
    },
    '0003_plugin_credentials': {
      up: (db: Kysely<Tables>) => addPluginCredentials(db, kind, types),
    },
    '0004_web_sessions': {
      up: (db: Kysely<Tables>) => addWebSessions(db, types),
    },
    '0005_revocation_indexes': {
      up: addRevocationIndexes,
    },
    '0006_crl_parts': {
      up: (db: Kysely<Tables>) => addCrlParts(db, types),
    },
    '0007_installation_keys': {
      up: (db: Kysely<Tables>) => addInstallationKeys(db, types),
    },
    '0008_bans': {
      up: (db: Kysely<Tables>) => addBans(db, types),
    },
    '0009_known_groups': {
      up: (db: Kysely<Tables>) => addKnownGroups(db, types),
    },
    '0010_access_tokens': {
      up: (db: Kysely<Tables>) => addAccessTokens(db, types),
    },
    '0011_expand_leaner_indexes': {
      up: makeLeanerIndexes,
    },
    '0012_expand_record_archive': {
      up: (db: Kysely<Tables>) => addArchivedCounts(db, types),
    },
  }
}

/**
 * No query uses two of the indexes of certificates, and each new certificate changed a page of either. The index by
 * which live credentials are counted gets all that the count needs: reading 10,000 rows of the table took 100 ms.
 */
async function makeLeanerIndexes({ schema }: Kysely<Tables>): Promise<void> {
  for (const name of ['certificates_identity_id', 'certificates_issuer_serial'])
    await schema.dropIndex(name).ifExists().execute()
  await schema.dropIndex('credentials_identity_service').ifExists().execute()
  await schema
    .createIndex('credentials_live')
    .ifNotExists()
    .on('credentials')
    .columns(['identity_id', 'service_id', 'not_after', 'end_entity_serial'])
    // Always NULL here: without them SQLite reads the table after all.
    .columns(['revoked_at', 'forgotten_at'])
    .where(sql.ref('revoked_at'), 'is', null)
    .where(sql.ref('forgotten_at'), 'is', null)
    .execute()
}

/** For reading revocations by date in pages, and for counting one identity's live credentials of one service. */
async function addRevocationIndexes({ schema }: Kysely<Tables>): Promise<void> {
  await schema
    .createIndex('revocations_revoked_at')
    .on('revocations')
    .columns(['revoked_at', 'serial'])
    .execute()
  await schema
    .createIndex('credentials_identity_service')
    .on('credentials')
    .columns(['identity_id', 'service_id', 'not_after'])
    .execute()
}

async function createIdentities({ schema }: Kysely<Tables>, { text }: ColumnTypes): Promise<void> {
  await schema
    .createTable('identities')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('issuer', text, (column) => column.notNull())
    .addColumn('sub', text, (column) => column.notNull())
    .addColumn('subject', text, (column) => column.notNull())
    .addColumn('comparable', text, (column) => column.notNull().unique())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addUniqueConstraint('identities_issuer_sub', ['issuer', 'sub'])
    .execute()
}

async function createCertificates(
  { schema }: Kysely<Tables>,
  { text }: ColumnTypes,
): Promise<void> {
  await schema
    .createTable('certificates')
    .addColumn('serial', text, (column) => column.primaryKey())
    .addColumn('kind', text, (column) => column.notNull())
    .addColumn('subject', text, (column) => column.notNull())
    .addColumn('issuer_serial', text)
    .addColumn('not_before', 'bigint', (column) => column.notNull())
    .addColumn('not_after', 'bigint', (column) => column.notNull())
    .addColumn('fingerprint', text, (column) => column.notNull())
    .addColumn('key_kind', text, (column) => column.notNull())
    .addColumn('identity_id', text, (column) => column.notNull().references('identities.id'))
    .addColumn('credential_id', text)
    .addColumn('position', 'integer', (column) => column.notNull())
    .execute()
  for (const column of ['identity_id', 'not_after', 'issuer_serial', 'credential_id']) {
    await schema.createIndex(`certificates_${column}`).on('certificates').column(column).execute()
  }
}

async function createEndEntityKeys(
  { schema }: Kysely<Tables>,
  { text, bytes }: ColumnTypes,
): Promise<void> {
  await schema
    .createTable('end_entity_keys')
    .addColumn('serial', text, (column) => column.primaryKey().references('certificates.serial'))
    .addColumn('identity_id', text, (column) => column.notNull().references('identities.id'))
    .addColumn('key_kind', text, (column) => column.notNull())
    .addColumn('not_after', 'bigint', (column) => column.notNull())
    .addColumn('certificate_der', bytes, (column) => column.notNull())
    .addColumn('master_key_id', text, (column) => column.notNull())
    .addColumn('sealed_key', bytes, (column) => column.notNull())
    .execute()
  await schema
    .createIndex('end_entity_keys_identity')
    .on('end_entity_keys')
    .columns(['identity_id', 'key_kind', 'not_after'])
    .execute()
  await schema
    .createIndex('end_entity_keys_not_after')
    .on('end_entity_keys')
    .column('not_after')
    .execute()
}

async function createCredentials({ schema }: Kysely<Tables>, { text }: ColumnTypes): Promise<void> {
  await schema
    .createTable('credentials')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('identity_id', text, (column) => column.notNull().references('identities.id'))
    .addColumn('service_id', text, (column) => column.notNull())
    .addColumn('end_entity_serial', text, (column) =>
      column.notNull().references('certificates.serial'),
    )
    .addColumn('issued_at', 'bigint', (column) => column.notNull())
    .addColumn('not_after', 'bigint', (column) => column.notNull())
    .addColumn('client_id', text)
    .addColumn('request_id', text, (column) => column.notNull())
    .addColumn('address', text, (column) => column.notNull())
    .addColumn('interface', text, (column) => column.notNull())
    .execute()
  await schema
    .createIndex('credentials_identity')
    .on('credentials')
    .columns(['identity_id', 'issued_at', 'id'])
    .execute()
  await schema
    .createIndex('credentials_issued')
    .on('credentials')
    .columns(['issued_at', 'id'])
    .execute()
  await schema
    .createIndex('credentials_end_entity')
    .on('credentials')
    .column('end_entity_serial')
    .execute()
}

async function createRevocations(
  { schema }: Kysely<Tables>,
  { text, bytes }: ColumnTypes,
): Promise<void> {
  await schema
    .createTable('revocations')
    .addColumn('serial', text, (column) => column.primaryKey().references('certificates.serial'))
    .addColumn('revoked_at', 'bigint', (column) => column.notNull())
    .addColumn('reason', text, (column) => column.notNull())
    .execute()
  await schema
    .createTable('crls')
    .addColumn('number', 'bigint', (column) => column.primaryKey())
    .addColumn('this_update', 'bigint', (column) => column.notNull())
    .addColumn('next_update', 'bigint', (column) => column.notNull())
    .addColumn('der', bytes, (column) => column.notNull())
    .addColumn('revocations', 'bigint', (column) => column.notNull())
    .execute()
}

async function createAudit(
  { schema }: Kysely<Tables>,
  { text, autoId }: ColumnTypes,
): Promise<void> {
  await schema
    .createTable('audit')
    .addColumn('id', autoId, (column) => column.primaryKey())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('event', text, (column) => column.notNull())
    .addColumn('outcome', text, (column) => column.notNull())
    .addColumn('request_id', text, (column) => column.notNull())
    .addColumn('address', text, (column) => column.notNull())
    .addColumn('interface', text, (column) => column.notNull())
    .addColumn('issuer', text)
    .addColumn('sub', text)
    .addColumn('service_id', text)
    .addColumn('credential_id', text)
    .addColumn('code', text)
    .addColumn('failed_check', text)
    .addColumn('detail', text)
    .execute()
  await schema.createIndex('audit_at').on('audit').columns(['at', 'id']).execute()
  await schema
    .createTable('heartbeat')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .execute()
}

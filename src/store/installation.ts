/** The keys that these records belong to. */
import { randomUUID } from 'node:crypto'
import type { Kysely, Transaction } from 'kysely'
import type {
  AuthorityKind,
  InstallationRecords,
  RecordedAuthority,
} from '../domain/installation.ts'
import type { AuditRecord } from '../domain/records.ts'
import type { Ask, Database, InstallationKeyRow, Tables } from './schema/tables.ts'
import { auditRow } from './schema/rows.ts'
import { originalText, storedText } from './stored-text.ts'

/** The part of the store that knows to which CAs the records belong. */
export function installationRecords(database: Database, ask: Ask): InstallationRecords {
  return {
    databaseId: () => ask(() => databaseId(database)),
    authority: (kind) => ask(() => findAuthority(database.writes, kind)),
    authorities: (kind) => ask(() => listAuthorities(database.reads, kind)),
    recordAuthority: (kind, authority) => ask(() => recordAuthority(database, kind, authority)),
    adoptAuthority: (kind, authority, audit) =>
      ask(() => adoptAuthority(database, kind, { authority, audit })),
    lastEndBefore: (at) => ask(() => lastEndBefore(database, at)),
    hasIssued: (kind) => ask(() => hasIssued(database, kind)),
  }
}

async function databaseId({ writes }: Database): Promise<string> {
  await insertIfFirst(writes, rowOf('database', { keyId: randomUUID(), name: '', since: epoch }))
  const row = await currentKey(writes, 'database')
  if (row === undefined) throw new TypeError('the id of the database was removed meanwhile')
  return row.key_id
}

const epoch = new Date(0)

async function findAuthority(
  db: Kysely<Tables>,
  kind: AuthorityKind,
): Promise<RecordedAuthority | undefined> {
  const row = await currentKey(db, kind)
  return row && recordedOf(row)
}

const recordedOf = (row: InstallationKeyRow): RecordedAuthority => ({
  keyId: row.key_id,
  name: originalText(row.name),
  since: new Date(row.since),
})

async function listAuthorities(
  db: Kysely<Tables>,
  kind: AuthorityKind,
): Promise<readonly RecordedAuthority[]> {
  const rows = await db
    .selectFrom('installation_keys')
    .selectAll()
    .where('kind', '=', kind)
    .execute()
  return rows.map(recordedOf)
}

async function recordAuthority(
  { writes }: Database,
  kind: AuthorityKind,
  authority: RecordedAuthority,
): Promise<RecordedAuthority> {
  await insertIfFirst(writes, rowOf(kind, authority))
  return (await findAuthority(writes, kind)) ?? authority
}

async function adoptAuthority(
  { writes }: Database,
  kind: AuthorityKind,
  { authority, audit }: { readonly authority: RecordedAuthority; readonly audit: AuditRecord },
): Promise<void> {
  await writes.transaction().execute(async (transaction) => {
    await makeCurrent(transaction, rowOf(kind, authority))
    if (kind === 'x509-ca') await transaction.deleteFrom('end_entity_keys').execute()
    await transaction.insertInto('audit').values(auditRow(audit)).execute()
  })
}

/** Makes a key the current one of its kind. */
export async function makeCurrent(
  transaction: Transaction<Tables>,
  row: InstallationKeyRow,
): Promise<void> {
  await transaction
    .updateTable('installation_keys')
    .set({ state: 'former' })
    .where('kind', '=', row.kind)
    .execute()
  await transaction
    .insertInto('installation_keys')
    .values(row)
    .onConflict((conflict) =>
      conflict
        .columns(['kind', 'key_id'])
        .doUpdateSet({ state: row.state, name: row.name, since: row.since }),
    )
    .execute()
}

/** Inserts a key unless there is a current one of its kind. */
export async function insertIfFirst(db: Kysely<Tables>, row: InstallationKeyRow): Promise<void> {
  await db
    .insertInto('installation_keys')
    .values(row)
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** Returns the current key of a kind. */
export async function currentKey(
  db: Kysely<Tables>,
  kind: string,
): Promise<InstallationKeyRow | undefined> {
  return db
    .selectFrom('installation_keys')
    .selectAll()
    .where('kind', '=', kind)
    .where('state', '=', 'current')
    .executeTakeFirst()
}

/** Replicas follow a roll-over within seconds; a request may take minutes. */
const FOLLOW_MS = 10 * 60_000

async function lastEndBefore({ writes }: Database, at: Date): Promise<Date | undefined> {
  const row = await writes
    .selectFrom('certificates')
    .select(({ fn }) => fn.max('not_after').as('last'))
    .where('kind', '=', 'eec')
    .where('not_before', '<=', at.getTime() + FOLLOW_MS)
    .executeTakeFirst()
  return row?.last === null || row === undefined ? undefined : new Date(row.last)
}

async function hasIssued({ writes }: Database, kind: AuthorityKind): Promise<boolean> {
  const certificates = writes.selectFrom('certificates').select('serial').limit(1)
  const ssh = writes
    .selectFrom('credentials')
    .select('id')
    .where('ssh_serial', 'is not', null)
    .limit(1)
  const rows = await (kind === 'x509-ca' ? certificates.execute() : ssh.execute())
  return rows.length > 0
}

function rowOf(kind: string, { keyId, name, since }: RecordedAuthority): InstallationKeyRow {
  return {
    kind,
    key_id: keyId,
    fingerprint: keyId,
    name: storedText(name),
    state: 'current',
    since: since.getTime(),
  }
}

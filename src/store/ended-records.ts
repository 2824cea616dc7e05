/** Finds records that ended long ago, in short pages, and removes those that are in the archive. */
import { type CompiledQuery, type Kysely, type SelectQueryBuilder, sql } from 'kysely'
import type { RevocationReason } from '../../ca/crl-entries.ts'
import type { CertificateRecord, RecordPlace } from '../domain/records.ts'
import type {
  EndedCredential,
  EndedEndEntity,
  EndedPage,
  EndedRecords,
} from '../domain/retention/ended-records.ts'
import { selectCredentials, toViews } from './credentials.ts'
import { toCertificate, toIdentity } from './schema/rows.ts'
import type { ArchivedKind, Ask, Database, Tables } from './schema/tables.ts'
import { originalOptional, originalText, storedText } from './stored-text.ts'

/** Rows that one page looks at: they cross from the database's thread without holding up the event loop. */
const ROWS_AT_ONCE = 200

/** The part of the store that serves the archive. */
export function endedRecords(database: Database, ask: Ask): EndedRecords {
  return {
    credentials: (before, from) => ask(() => credentialsBefore(database, before.getTime(), from)),
    endEntities: (before, from) => ask(() => endEntitiesBefore(database, before.getTime(), from)),
    removeCredentials: (ids) => ask(() => removeCredentials(database, ids.map(storedText))),
    removeEndEntities: (serials) => ask(() => removeEndEntities(database, serials.map(storedText))),
  }
}

/**
 * In the order of issue, which is that of an index: nothing ends before it is issued. An index by the end would cost
 * every new credential more than reading again what stays.
 */
async function credentialsBefore(
  database: Database,
  before: number,
  from: RecordPlace | undefined,
): Promise<EndedPage<EndedCredential>> {
  let query = selectCredentials(database).where('credentials.issued_at', '<', before)
  if (from !== undefined)
    query = query.where((where) =>
      where(
        where.refTuple('credentials.issued_at', 'credentials.id'),
        '>',
        where.tuple(from.at, storedText(from.id)),
      ),
    )
  const rows = await query
    .orderBy('credentials.issued_at')
    .orderBy('credentials.id')
    .limit(ROWS_AT_ONCE)
    .execute()
  const over = rows.filter(
    (row) =>
      row.not_after !== null &&
      row.not_after < before &&
      (row.plugin_state === null || row.ssh_serial !== null || row.revoked_at !== null),
  )
  const endEntities = await certificatesBySerial(
    database,
    over.flatMap((row) => row.end_entity_serial ?? []),
  )
  const ended = (await toViews(database, over))
    .map((credential) => ({
      credential,
      endEntity: endEntities.get(credential.endEntitySerial ?? ''),
    }))
    .filter(({ credential: { certificates }, endEntity }) =>
      [...certificates, ...(endEntity ? [endEntity] : [])].every(
        ({ notAfter }) => notAfter.getTime() < before,
      ),
    )
  const last = rows.at(-1)
  return pageOf(ended, rows.length, last && placeOf(last.issued_at, last.id))
}

async function certificatesBySerial(
  { reads }: Database,
  serials: readonly string[],
): Promise<ReadonlyMap<string, CertificateRecord>> {
  if (serials.length === 0) return new Map()
  const rows = await reads
    .selectFrom('certificates')
    .selectAll()
    .where('serial', 'in', [...new Set(serials)])
    .execute()
  return new Map(rows.map(toCertificate).map((found) => [found.serial, found]))
}

/** Looks at all certificates in the order of an index. What it passes over are proxies whose EEC has not ended. */
async function endEntitiesBefore(
  { reads }: Database,
  before: number,
  from: RecordPlace | undefined,
): Promise<EndedPage<EndedEndEntity>> {
  const looked = await reads
    .selectFrom('certificates')
    .select(['serial', 'kind', 'not_after'])
    .where('not_after', '<', before)
    .$if(from !== undefined, (query) =>
      query.where((where) =>
        where(
          where.refTuple('not_after', 'serial'),
          '>',
          where.tuple(from?.at ?? 0, storedText(from?.id ?? '')),
        ),
      ),
    )
    .orderBy('not_after')
    .orderBy('serial')
    .limit(ROWS_AT_ONCE)
    .execute()
  const last = looked.at(-1)
  const serials = looked.filter(({ kind }) => kind === 'eec').map(({ serial }) => serial)
  const ended = serials.length === 0 ? [] : await unusedEndEntities({ reads }, serials)
  return pageOf(ended, looked.length, last && placeOf(last.not_after, last.serial))
}

async function unusedEndEntities(
  { reads }: Pick<Database, 'reads'>,
  serials: readonly string[],
): Promise<readonly EndedEndEntity[]> {
  const rows = await reads
    .selectFrom('certificates')
    .innerJoin('identities', 'identities.id', 'certificates.identity_id')
    .leftJoin('revocations', 'revocations.serial', 'certificates.serial')
    .where('certificates.serial', 'in', serials)
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('credentials')
            .select('credentials.id')
            .whereRef('credentials.end_entity_serial', '=', 'certificates.serial'),
        ),
      ),
    )
    .selectAll('certificates')
    .select([
      'identities.id',
      'identities.issuer',
      'identities.sub',
      'identities.subject as identity_subject',
      'identities.created_at',
      'identities.comparable',
      'revocations.revoked_at',
      'revocations.reason',
    ])
    .execute()
  return rows.map((row) => ({
    certificate: toCertificate(row),
    identity: toIdentity({ ...row, subject: row.identity_subject }),
    credentialId: originalOptional(row.credential_id),
    revokedAt: row.revoked_at === null ? undefined : new Date(row.revoked_at),
    revocationReason: (row.reason ?? undefined) as RevocationReason | undefined,
  }))
}

const placeOf = (at: number, id: string): RecordPlace => ({ at, id: originalText(id) })

function pageOf<Ended>(
  ended: readonly Ended[],
  looked: number,
  last: RecordPlace | undefined,
): EndedPage<Ended> {
  return { ended, next: looked < ROWS_AT_ONCE ? undefined : last }
}

async function removeCredentials(
  { writes, transact }: Database,
  ids: readonly string[],
): Promise<void> {
  await transact([
    addToCount(
      writes,
      'ssh_revocations',
      writes
        .selectFrom('credentials')
        .select(({ fn }) => fn.countAll<number>().as('records'))
        .where('id', 'in', ids)
        .where('ssh_serial', 'is not', null)
        .where('revoked_at', 'is not', null),
    ),
    // A certificate of another kind is the credential's EEC, whose row others may name.
    writes
      .deleteFrom('certificates')
      .where('credential_id', 'in', ids)
      .where('kind', '=', 'proxy')
      .compile(),
    writes.deleteFrom('credentials').where('id', 'in', ids).compile(),
  ])
}

/** No revocation can come meanwhile: an EEC is revoked by a credential that names it, and there is none. */
async function removeEndEntities(
  { writes, transact }: Database,
  serials: readonly string[],
): Promise<void> {
  await transact([
    addToCount(
      writes,
      'revocations',
      writes
        .selectFrom('revocations')
        .select(({ fn }) => fn.countAll<number>().as('records'))
        .where('serial', 'in', serials),
    ),
    writes.deleteFrom('end_entity_keys').where('serial', 'in', serials).compile(),
    writes.deleteFrom('revocations').where('serial', 'in', serials).compile(),
    writes.deleteFrom('certificates').where('serial', 'in', serials).compile(),
  ])
}

/** Before the rows are removed, in the same transaction. @param records number of the rows */
function addToCount(
  writes: Kysely<Tables>,
  kind: ArchivedKind,
  records: SelectQueryBuilder<Tables, keyof Tables, { records: number }>,
): CompiledQuery {
  return writes
    .insertInto('archived_counts')
    .values({ kind, records })
    .onConflict((conflict) =>
      conflict.column('kind').doUpdateSet({
        records: sql<number>`${sql.ref('archived_counts.records')} + ${sql.ref('excluded.records')}`,
      }),
    )
    .compile()
}

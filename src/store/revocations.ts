import { type RawBuilder, sql, type Transaction } from 'kysely'
import type { RevocationReason } from '../../ca/crl-entries.ts'
import type {
  Revocation,
  RevocationPage,
  RevocationRequest,
  RevokedCertificate,
} from '../domain/records.ts'
import { TtsError } from '../base/errors.ts'
import { auditRow } from './schema/rows.ts'
import { originalText, storedText } from './stored-text.ts'
import type { ArchivedKind, Database, Tables } from './schema/tables.ts'

/**
 * Revokes what is under a credential and writes the audit line, in one transaction: its EEC, whose held key is
 * removed; else the credential itself.
 *
 * @throws TtsError `not_found`
 */
export async function revoke(
  { writes, kind }: Database,
  request: RevocationRequest,
): Promise<Revocation> {
  return await writes.transaction().execute(async (transaction) => {
    const credential = await findToRevoke(transaction, request)
    const serial = credential.end_entity_serial
    if (serial === null) return await revokeAlone(transaction, request, credential)
    // Against records under way on PostgreSQL, whose foreign keys hold this row. SQLite has one writer at a time.
    await transaction
      .selectFrom('certificates')
      .select('serial')
      .where('serial', '=', serial)
      .$if(kind === 'postgresql', (query) => query.forUpdate())
      .execute()
    const inserted = await transaction
      .insertInto('revocations')
      .values({ serial, revoked_at: request.at.getTime(), reason: request.reason })
      .onConflict((conflict) => conflict.doNothing())
      .returning('serial')
      .execute()
    const newlyRevoked = inserted.length > 0
    if (newlyRevoked) {
      await transaction.deleteFrom('end_entity_keys').where('serial', '=', serial).execute()
      await transaction.insertInto('audit').values(auditOf(request, credential)).execute()
    }
    const affected = await transaction
      .selectFrom('credentials')
      .select('id')
      .where('end_entity_serial', '=', serial)
      .orderBy('issued_at')
      .execute()
    return {
      credentialId: request.credentialId,
      endEntitySerial: originalText(serial),
      affectedCredentialIds: affected.map((row) => originalText(row.id)),
      newlyRevoked,
    }
  })
}

/** A credential of a plugin, or an SSH certificate: nothing else dies with it. */
async function revokeAlone(
  transaction: Transaction<Tables>,
  request: RevocationRequest,
  credential: CredentialToRevoke,
): Promise<Revocation> {
  const updated = await transaction
    .updateTable('credentials')
    .set({ revoked_at: request.at.getTime(), revocation_reason: request.reason })
    .where('id', '=', storedText(request.credentialId))
    .where('revoked_at', 'is', null)
    .returning('id')
    .execute()
  const newlyRevoked = updated.length > 0
  if (newlyRevoked)
    await transaction.insertInto('audit').values(auditOf(request, credential)).execute()
  return {
    credentialId: request.credentialId,
    endEntitySerial: undefined,
    affectedCredentialIds: [request.credentialId],
    newlyRevoked,
  }
}

interface CredentialToRevoke {
  readonly end_entity_serial: string | null
  readonly service_id: string
  readonly issuer: string
  readonly sub: string
}

async function findToRevoke(
  transaction: Transaction<Tables>,
  request: RevocationRequest,
): Promise<CredentialToRevoke> {
  let query = transaction
    .selectFrom('credentials')
    .innerJoin('identities', 'identities.id', 'credentials.identity_id')
    .select(['end_entity_serial', 'service_id', 'issuer', 'sub'])
    .where('credentials.id', '=', storedText(request.credentialId))
  if (request.identityId !== undefined) {
    query = query.where('credentials.identity_id', '=', storedText(request.identityId))
  }
  const credential = await query.executeTakeFirst()
  if (credential === undefined) throw new TtsError('not_found', 'credential not found')
  return credential
}

function auditOf(
  request: RevocationRequest,
  credential: CredentialToRevoke,
): ReturnType<typeof auditRow> {
  return auditRow({
    at: request.at,
    event: 'credential.revoked',
    outcome: 'allowed',
    origin: request.origin,
    issuer: originalText(credential.issuer),
    sub: originalText(credential.sub),
    serviceId: originalText(credential.service_id),
    credentialId: request.credentialId,
    code: undefined,
    check: undefined,
    detail: request.reason,
  })
}

/** How many EECs were ever revoked, with those whose rows are in the archive. */
export async function countRevocations({ reads }: Pick<Database, 'reads'>): Promise<number> {
  // In one statement: a row that moves meanwhile is counted once.
  const { count } = await reads
    .selectFrom('revocations')
    .select(sql<number>`count(*) + ${archivedCount('revocations')}`.as('count'))
    .executeTakeFirstOrThrow()
  return count
}

/** Of the revoked EECs, how many have moved to the archive. */
export async function countArchivedRevocations({
  reads,
}: Pick<Database, 'reads'>): Promise<number> {
  const { archived } = await reads
    .selectNoFrom(archivedCount('revocations').as('archived'))
    .executeTakeFirstOrThrow()
  return archived
}

const archivedCount = (kind: ArchivedKind): RawBuilder<number> =>
  sql<number>`coalesce((select records from archived_counts where kind = ${sql.lit(kind)}), 0)`

/**
 * One page of all revocations by date and serial number. A revocation never leaves its place; rows of EECs that ended
 * long ago may move to the archive.
 */
export async function listRevocations(
  { reads }: Database,
  { from, after, limit }: RevocationPage,
): Promise<readonly RevokedCertificate[]> {
  let query = reads
    .selectFrom('revocations')
    .innerJoin('certificates', 'certificates.serial', 'revocations.serial')
    .select(['revocations.serial', 'revoked_at', 'reason', 'not_after'])
  if (after === undefined) query = query.where('revoked_at', '>=', from.getTime())
  else {
    query = query.where((where) =>
      where(
        where.refTuple('revoked_at', 'revocations.serial'),
        '>',
        where.tuple(after.revokedAt.getTime(), storedText(after.serial)),
      ),
    )
  }
  const rows = await query
    .orderBy('revoked_at')
    .orderBy('revocations.serial')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    serial: originalText(row.serial),
    revokedAt: new Date(row.revoked_at),
    reason: row.reason as RevocationReason,
    notAfter: new Date(row.not_after),
  }))
}

/** How many SSH certificates were ever revoked, with those whose rows are in the archive. */
export async function countRevokedSsh({ reads }: Database): Promise<number> {
  const { count } = await reads
    .selectFrom('credentials')
    .select(sql<number>`count(*) + ${archivedCount('ssh_revocations')}`.as('count'))
    .where('ssh_serial', 'is not', null)
    .where('revoked_at', 'is not', null)
    .executeTakeFirstOrThrow()
  return count
}

/** Rows at once: so many cross from the database's thread without holding up the event loop. */
const SERIALS_AT_ONCE = 10_000

/** Serial numbers of the revoked SSH certificates that have not ended, read in pages. */
export async function revokedSshSerials(
  { reads }: Database,
  now: Date,
): Promise<readonly bigint[]> {
  const serials: bigint[] = []
  let last = { not_after: now.getTime() + 1, id: '' }
  for (;;) {
    const rows = await reads
      .selectFrom('credentials')
      .select(['ssh_serial', 'not_after', 'id'])
      .where('ssh_serial', 'is not', null)
      .where('revoked_at', 'is not', null)
      .where((where) =>
        where(where.refTuple('not_after', 'id'), '>', where.tuple(last.not_after, last.id)),
      )
      .orderBy('not_after')
      .orderBy('id')
      .limit(SERIALS_AT_ONCE)
      .execute()
    for (const row of rows) serials.push(BigInt(row.ssh_serial ?? '0'))
    const end = rows.at(-1)
    if (end === undefined || rows.length < SERIALS_AT_ONCE) return serials
    last = { not_after: end.not_after ?? 0, id: end.id }
  }
}

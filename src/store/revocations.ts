import { sql, type Transaction } from 'kysely'
import type {
  CrlRecord,
  Revocation,
  RevocationReason,
  RevocationRequest,
  RevokedCertificate,
} from '../domain/records.ts'
import { TtsError } from '../errors.ts'
import { withinDeadline } from './deadline.ts'
import { auditRow, toCrl } from './rows.ts'
import { originalText, storedText } from './stored-text.ts'
import type { Database, Tables } from './tables.ts'

/** CRLs that stay in the database beside the newest, for a look back. */
const OLD_CRLS = 10
/** The advisory lock under which CRLs are made on PostgreSQL: "TTS" and "CRL" in ASCII. */
const CRL_LOCK = { space: 0x545453, object: 0x43524c }

/**
 * Revokes what is under a credential and writes the audit line, in one transaction: its EEC, whose held key is removed; else
 * the credential itself.
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
  if (credential === undefined) throw new TtsError('not_found', 'There is no such credential')
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

/** The CRL with the highest number. */
export async function latestCrl({ reads }: Database): Promise<CrlRecord | undefined> {
  const row = await reads
    .selectFrom('crls')
    .selectAll()
    .orderBy('number', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row === undefined ? undefined : toCrl(row)
}

/** How many EECs were ever revoked. */
export async function countRevocations({ reads }: Pick<Database, 'reads'>): Promise<number> {
  const { count } = await reads
    .selectFrom('revocations')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  return count
}

/** Builds the CRL of a number; must not ask the store anything, which may be waiting for this very CRL. */
export type CrlBuilder = (
  number: number,
  revoked: readonly RevokedCertificate[],
) => Promise<Omit<CrlRecord, 'number' | 'revocations'>>

/**
 * Makes the next CRL under a lock that ends with its transaction, also when the process is killed.
 *
 * @throws TtsError `store_unavailable` when `build` takes longer than the store's deadline.
 */
export async function createCrl(
  database: Database,
  keepAfter: Date,
  build: CrlBuilder,
): Promise<CrlRecord> {
  return await database.writes.transaction().execute(async (transaction) => {
    if (database.kind === 'postgresql') {
      const { space, object } = CRL_LOCK
      await sql`select pg_advisory_xact_lock(${sql.lit(space)}, ${sql.lit(object)})`.execute(
        transaction,
      )
    }
    const number = await nextNumber(transaction)
    // Counted before listed: a revocation between the two is on this CRL and asks for another one, never the reverse.
    const revocations = await countRevocations({ reads: transaction })
    const revoked = await listRevoked(transaction, keepAfter)
    const built = await withinDeadline(build(number, revoked), database.timeoutMs).catch(buildError)
    await transaction
      .insertInto('crls')
      .values({
        number,
        this_update: built.thisUpdate.getTime(),
        next_update: built.nextUpdate.getTime(),
        der: built.der,
        revocations,
      })
      .execute()
    await transaction
      .deleteFrom('crls')
      .where('number', '<', number - OLD_CRLS)
      .execute()
    return { ...built, number, revocations }
  })
}

/** What went wrong in the builder is not the database's failure, and is not to look like it. */
function buildError(error: unknown): never {
  if (error instanceof TtsError) throw error
  throw new TtsError('internal', 'The CRL could not be made', { check: 'crl_build', cause: error })
}

async function nextNumber(transaction: Transaction<Tables>): Promise<number> {
  const { latest } = await transaction
    .selectFrom('crls')
    .select(({ fn }) => fn.max('number').as('latest'))
    .executeTakeFirstOrThrow()
  return ((latest as number | null) ?? 0) + 1
}

async function listRevoked(
  transaction: Transaction<Tables>,
  keepAfter: Date,
): Promise<readonly RevokedCertificate[]> {
  const rows = await transaction
    .selectFrom('revocations')
    .innerJoin('certificates', 'certificates.serial', 'revocations.serial')
    .select(['revocations.serial', 'revoked_at', 'reason'])
    .where('certificates.not_after', '>', keepAfter.getTime())
    .orderBy('revoked_at')
    .orderBy('revocations.serial')
    .execute()
  return rows.map((row) => ({
    serial: originalText(row.serial),
    revokedAt: new Date(row.revoked_at),
    reason: row.reason as RevocationReason,
  }))
}

import type { SelectQueryBuilder } from 'kysely'
import type { RevocationReason } from '../../ca/crl-entries.ts'
import type {
  AuditRecord,
  CertificateRecord,
  CredentialFilter,
  CredentialRecord,
  CredentialView,
  RecordFilter,
  RecordPlace,
} from '../domain/records.ts'
import { TtsError } from '../base/errors.ts'
import type { RecordEntry } from './group-commit.ts'
import {
  auditRow,
  certificateRow,
  credentialRow,
  stateDigest,
  toCertificate,
  toIdentity,
  toOrigin,
} from './schema/rows.ts'
import { originalOptional, originalText, storedText } from './stored-text.ts'
import type {
  CredentialRow,
  Database,
  IdentityRow,
  RevocationRow,
  Tables,
} from './schema/tables.ts'

const DEFAULT_LIMIT = 100
/** A page of the API, and one more that tells whether there is another page. */
const MAX_LIMIT = 1001

/** The rows for a credential that was handed out. */
export function credentialEntry(credential: CredentialRecord, audit: AuditRecord): RecordEntry {
  const owner = { identityId: credential.identityId, credentialId: credential.id }
  return {
    certificates: credential.certificates.map((certificate, position) =>
      certificateRow(certificate, { ...owner, position }),
    ),
    endEntityKeys: [],
    credentials: [credentialRow(credential)],
    audit: [auditRow(audit)],
  }
}

/**
 * Credentials, newest first.
 *
 * @throws TtsError `invalid_request` when `limit` is no positive integer or `after` names no credential.
 */
export async function listCredentials(
  database: Database,
  filter: CredentialFilter,
): Promise<readonly CredentialView[]> {
  let query = selectCredentials(database).limit(checkedLimit(filter.limit))
  if (filter.identityId !== undefined) {
    query = query.where('credentials.identity_id', '=', storedText(filter.identityId))
  }
  if (filter.serviceId !== undefined) {
    query = query.where('credentials.service_id', '=', storedText(filter.serviceId))
  }
  if (filter.activeAt !== undefined) {
    const at = filter.activeAt.getTime()
    query = query
      .where((where) =>
        where.or([
          where('credentials.not_after', 'is', null),
          where('credentials.not_after', '>', at),
        ]),
      )
      .where('revocations.serial', 'is', null)
      .where('credentials.revoked_at', 'is', null)
  }
  query = whereRecorded(query, filter)
  if (filter.listed === true) query = query.where('credentials.forgotten_at', 'is', null)
  if (filter.after !== undefined) {
    const { at, id } = await placeAfter(filter.after, (id) => findPlace(database, id))
    query = query.where((where) =>
      where(
        where.refTuple('credentials.issued_at', 'credentials.id'),
        '<',
        where.tuple(at, storedText(id)),
      ),
    )
  }
  const rows = await query
    .orderBy('credentials.issued_at', 'desc')
    .orderBy('credentials.id', 'desc')
    .execute()
  return await toViews(database, rows)
}

/** The conditions of an operator's search. */
function whereRecorded(
  query: ReturnType<typeof selectCredentials>,
  { subject, issuer, sub, address, clientId, since, until }: RecordFilter,
): ReturnType<typeof selectCredentials> {
  const texts = [
    ['identities.subject', subject],
    ['identities.issuer', issuer],
    ['identities.sub', sub],
    ['credentials.address', address],
    ['credentials.client_id', clientId],
  ] as const
  let narrowed = query
  for (const [column, text] of texts)
    if (text !== undefined) narrowed = narrowed.where(column, '=', storedText(text))
  if (since !== undefined) narrowed = narrowed.where('credentials.issued_at', '>=', since.getTime())
  return until === undefined
    ? narrowed
    : narrowed.where('credentials.issued_at', '<', until.getTime())
}

/** One credential; with `identityId` only if it is that identity's. */
export async function findCredential(
  database: Database,
  id: string,
  identityId: string | undefined,
): Promise<CredentialView | undefined> {
  let query = selectCredentials(database).where('credentials.id', '=', storedText(id))
  if (identityId !== undefined) {
    query = query.where('credentials.identity_id', '=', storedText(identityId))
  }
  const [view] = await toViews(database, await query.execute())
  return view
}

/** The credential of a plugin's state that is not revoked. */
export async function findCredentialByState(
  database: Database,
  key: { readonly identityId: string; readonly serviceId: string; readonly state: string },
): Promise<CredentialView | undefined> {
  const rows = await selectCredentials(database)
    .where('credentials.identity_id', '=', storedText(key.identityId))
    .where('credentials.service_id', '=', storedText(key.serviceId))
    .where('credentials.state_digest', '=', stateDigest(key.state))
    .where('credentials.revoked_at', 'is', null)
    .execute()
  const [view] = await toViews(database, rows)
  return view
}

/** Takes a credential off its owner's list. */
export async function forgetCredential(
  { writes }: Database,
  id: string,
  { identityId, at }: { readonly identityId: string; readonly at: Date },
): Promise<boolean> {
  const forgotten = await writes
    .updateTable('credentials')
    .set({ forgotten_at: at.getTime() })
    .where('id', '=', storedText(id))
    .where('identity_id', '=', storedText(identityId))
    .where('forgotten_at', 'is', null)
    .returning('id')
    .execute()
  return forgotten.length > 0
}

/** The credential that a certificate was made for. */
export async function findCredentialByCertificate(
  database: Database,
  serial: string,
): Promise<CredentialView | undefined> {
  const [view] = await toViews(
    database,
    await selectCredentials(database)
      .innerJoin('certificates', 'certificates.credential_id', 'credentials.id')
      .where('certificates.serial', '=', storedText(serial))
      .execute(),
  )
  return view
}

/**
 * A limit within its bounds: 100 when none is given, at most 1001.
 *
 * @throws TtsError `invalid_request` when it is no positive integer.
 */
export function checkedLimit(limit: number = DEFAULT_LIMIT): number {
  if (!Number.isInteger(limit) || limit < 1) {
    throw new TtsError('invalid_request', 'limit must be a positive integer', { check: 'limit' })
  }
  return Math.min(limit, MAX_LIMIT)
}

type SelectedCredential = CredentialRow &
  Pick<IdentityRow, 'issuer' | 'sub' | 'subject' | 'comparable' | 'created_at'> & {
    readonly end_entity_revoked_at: number | null
    readonly reason: string | null
  }

type JoinedTables = Tables & {
  readonly revocations: { [Key in keyof RevocationRow]: RevocationRow[Key] | null }
}

/** All that a view of a credential needs, but its certificates. */
export function selectCredentials({
  reads,
}: Database): SelectQueryBuilder<
  JoinedTables,
  'credentials' | 'identities' | 'revocations',
  SelectedCredential
> {
  return reads
    .selectFrom('credentials')
    .innerJoin('identities', 'identities.id', 'credentials.identity_id')
    .leftJoin('revocations', 'revocations.serial', 'credentials.end_entity_serial')
    .selectAll('credentials')
    .select([
      'identities.issuer',
      'identities.sub',
      'identities.subject',
      'identities.comparable',
      'identities.created_at',
      'revocations.revoked_at as end_entity_revoked_at',
      'revocations.reason',
    ])
}

/** Returns the place to continue after. The record of an id must exist; that of a place may be archived meanwhile. */
export async function placeAfter(
  after: string | RecordPlace,
  find: (id: string) => Promise<number>,
): Promise<RecordPlace> {
  return typeof after === 'string' ? { at: await find(after), id: after } : after
}

/** @throws TtsError `invalid_request`, check `after` */
async function findPlace({ reads }: Database, id: string): Promise<number> {
  const row = await reads
    .selectFrom('credentials')
    .select('issued_at')
    .where('id', '=', storedText(id))
    .executeTakeFirst()
  if (row === undefined) {
    throw new TtsError('invalid_request', 'after names no credential', { check: 'after' })
  }
  return row.issued_at
}

/** Adds the certificates. */
export async function toViews(
  database: Database,
  rows: readonly SelectedCredential[],
): Promise<readonly CredentialView[]> {
  const certificates = await certificatesOf(
    database,
    rows.map((row) => row.id),
  )
  return rows.map((row) => toView(row, certificates.get(row.id) ?? []))
}

function toView(
  row: SelectedCredential,
  certificates: readonly CertificateRecord[],
): CredentialView {
  const revokedAt = row.revoked_at ?? row.end_entity_revoked_at
  const reason = row.revocation_reason ?? row.reason
  return {
    id: originalText(row.id),
    serviceId: originalText(row.service_id),
    identity: toIdentity({ ...row, id: row.identity_id }),
    certificates,
    endEntitySerial: originalOptional(row.end_entity_serial),
    sshSerial: originalOptional(row.ssh_serial),
    pluginState: originalOptional(row.plugin_state),
    issuedAt: new Date(row.issued_at),
    notAfter: row.not_after === null ? undefined : new Date(row.not_after),
    clientId: originalOptional(row.client_id),
    origin: toOrigin(row),
    delegationId: originalOptional(row.delegation_id),
    renewedFrom: originalOptional(row.renewed_from),
    firstIssuedAt: row.first_issued_at === null ? undefined : new Date(row.first_issued_at),
    forgottenAt: row.forgotten_at === null ? undefined : new Date(row.forgotten_at),
    revokedAt: revokedAt === null ? undefined : new Date(revokedAt),
    revocationReason: (reason ?? undefined) as RevocationReason | undefined,
  }
}

async function certificatesOf(
  { reads }: Database,
  credentialIds: readonly string[],
): Promise<ReadonlyMap<string, readonly CertificateRecord[]>> {
  const byCredential = new Map<string, CertificateRecord[]>()
  if (credentialIds.length === 0) return byCredential
  const rows = await reads
    .selectFrom('certificates')
    .selectAll()
    .where('credential_id', 'in', credentialIds)
    .orderBy('position')
    .execute()
  for (const row of rows) {
    const credentialId = row.credential_id ?? ''
    const list = byCredential.get(credentialId) ?? []
    list.push(toCertificate(row))
    byCredential.set(credentialId, list)
  }
  return byCredential
}

import type { AuditRecord, HeldEndEntity, IssuedEndEntity } from '../domain/records.ts'
import type { MasterKeys } from './encryption/master-keys.ts'
import type { RecordEntry } from './group-commit.ts'
import { auditRow, certificateRow, toBuffer, toCertificate, toIdentity } from './schema/rows.ts'
import { openKey, sealKey } from './encryption/sealed-key.ts'
import { originalText, storedText } from './stored-text.ts'
import type { Database, EndEntityKeyRow } from './schema/tables.ts'

/** The rows for an EEC whose key is held. */
export function endEntityEntry(
  masterKeys: MasterKeys,
  identityId: string,
  { endEntity, audit }: { readonly endEntity: HeldEndEntity; readonly audit: AuditRecord },
): RecordEntry {
  const { certificate, certificateDer, privateKeyDer } = endEntity
  const owner = { serial: certificate.serial, identityId }
  const { masterKeyId, sealed } = sealKey(masterKeys, owner, privateKeyDer)
  const row = certificateRow(certificate, { identityId, credentialId: undefined, position: 0 })
  const key: EndEntityKeyRow = {
    serial: row.serial,
    identity_id: row.identity_id,
    key_kind: row.key_kind,
    not_after: row.not_after,
    certificate_der: certificateDer,
    master_key_id: masterKeyId,
    sealed_key: sealed,
  }
  return { certificates: [row], endEntityKeys: [key], credentials: [], audit: [auditRow(audit)] }
}

/**
 * The held EEC of an identity that lives longest, its key decrypted.
 *
 * @throws TtsError `internal` with check `master_key_unknown` or `held_key_tampered`.
 */
export async function findHeldEndEntity(
  { reads }: Database,
  masterKeys: MasterKeys,
  {
    identityId,
    now,
    keyKind,
  }: { readonly identityId: string; readonly now: Date; readonly keyKind: string },
): Promise<HeldEndEntity | undefined> {
  const row = await reads
    .selectFrom('end_entity_keys as held')
    .innerJoin('certificates', 'certificates.serial', 'held.serial')
    .leftJoin('revocations', 'revocations.serial', 'held.serial')
    .where('held.identity_id', '=', storedText(identityId))
    .where('held.key_kind', '=', storedText(keyKind))
    .where('held.not_after', '>', now.getTime())
    .where('revocations.serial', 'is', null)
    .selectAll('certificates')
    .select(['held.certificate_der', 'held.master_key_id', 'held.sealed_key'])
    .orderBy('held.not_after', 'desc')
    .orderBy('held.serial')
    .limit(1)
    .executeTakeFirst()
  if (row === undefined) return undefined
  const owner = { serial: originalText(row.serial), identityId }
  const sealed = { masterKeyId: row.master_key_id, sealed: row.sealed_key }
  return {
    certificate: toCertificate(row),
    certificateDer: toBuffer(row.certificate_der),
    privateKeyDer: openKey(masterKeys, owner, sealed),
  }
}

/** The EEC of this serial number, with its identity. */
export async function findIssuedEndEntity(
  { writes }: Database,
  serial: string,
): Promise<IssuedEndEntity | undefined> {
  // On the writing connection: SQLite's reader may still see the state before a revocation.
  const row = await writes
    .selectFrom('certificates')
    .innerJoin('identities', 'identities.id', 'certificates.identity_id')
    .leftJoin('revocations', 'revocations.serial', 'certificates.serial')
    .where('certificates.serial', '=', storedText(serial))
    .where('certificates.kind', '=', 'eec')
    .selectAll('certificates')
    .select([
      'identities.id',
      'identities.issuer',
      'identities.sub',
      'identities.subject as identity_subject',
      'identities.comparable',
      'identities.created_at',
      'revocations.revoked_at',
    ])
    .executeTakeFirst()
  return (
    row && {
      certificate: toCertificate(row),
      identity: toIdentity({ ...row, subject: row.identity_subject }),
      isRevoked: row.revoked_at !== null,
    }
  )
}

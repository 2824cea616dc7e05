import { createHash } from 'node:crypto'
import type { Insertable, Selectable } from 'kysely'
import type {
  AuditRecord,
  CertificateKind,
  CertificateRecord,
  CredentialRecord,
  Identity,
  Origin,
} from '../../domain/records.ts'
import { originalOptional, originalText, storedOptional, storedText } from '../stored-text.ts'
import type { AuditRow, CertificateRow, CredentialRow, IdentityRow } from './tables.ts'

/** What a certificate belongs to. */
export interface CertificateOwner {
  readonly identityId: string
  readonly credentialId: string | undefined
  readonly position: number
}

/** The identity that a row stands for. */
export function toIdentity(row: Omit<IdentityRow, 'groups'>): Identity {
  return {
    id: originalText(row.id),
    issuer: originalText(row.issuer),
    sub: originalText(row.sub),
    subject: originalText(row.subject),
    createdAt: new Date(row.created_at),
  }
}

/** The row for a certificate. */
export function certificateRow(
  certificate: CertificateRecord,
  owner: CertificateOwner,
): CertificateRow {
  return {
    serial: storedText(certificate.serial),
    kind: certificate.kind,
    subject: storedText(certificate.subject),
    issuer_serial: storedOptional(certificate.issuerSerial),
    not_before: certificate.notBefore.getTime(),
    not_after: certificate.notAfter.getTime(),
    fingerprint: storedText(certificate.fingerprint),
    key_kind: storedText(certificate.keyKind),
    identity_id: storedText(owner.identityId),
    credential_id: storedOptional(owner.credentialId),
    position: owner.position,
  }
}

/** The certificate that a row stands for. */
export function toCertificate(row: CertificateRow): CertificateRecord {
  return {
    serial: originalText(row.serial),
    kind: row.kind as CertificateKind,
    subject: originalText(row.subject),
    issuerSerial: originalOptional(row.issuer_serial),
    notBefore: new Date(row.not_before),
    notAfter: new Date(row.not_after),
    fingerprint: originalText(row.fingerprint),
    keyKind: originalText(row.key_kind),
  }
}

/** The row for a credential; its certificates have rows of their own. */
export function credentialRow(credential: CredentialRecord): CredentialRow {
  return {
    id: storedText(credential.id),
    identity_id: storedText(credential.identityId),
    service_id: storedText(credential.serviceId),
    end_entity_serial: storedOptional(credential.endEntitySerial),
    issued_at: credential.issuedAt.getTime(),
    not_after: credential.notAfter?.getTime() ?? null,
    client_id: storedOptional(credential.clientId),
    ...originColumns(credential.origin),
    delegation_id: storedOptional(credential.delegationId),
    renewed_from: storedOptional(credential.renewedFrom),
    first_issued_at: credential.firstIssuedAt?.getTime() ?? null,
    plugin_state: storedOptional(credential.pluginState),
    state_digest: credential.pluginState === undefined ? null : stateDigest(credential.pluginState),
    ssh_serial: storedOptional(credential.sshSerial),
    revoked_at: null,
    revocation_reason: null,
    forgotten_at: null,
  }
}

/** What a plugin's state is found by. */
export function stateDigest(state: string): string {
  return createHash('sha256').update(state, 'utf8').digest('hex')
}

/** The row for a line of the audit trail. */
export function auditRow(audit: AuditRecord): Insertable<AuditRow> {
  return {
    at: audit.at.getTime(),
    event: storedText(audit.event),
    outcome: audit.outcome,
    ...originColumns(audit.origin),
    issuer: storedOptional(audit.issuer),
    sub: storedOptional(audit.sub),
    service_id: storedOptional(audit.serviceId),
    credential_id: storedOptional(audit.credentialId),
    code: storedOptional(audit.code),
    failed_check: storedOptional(audit.check),
    detail: storedOptional(audit.detail),
  }
}

/** The line of the audit trail that a row stands for. */
export function toAudit(row: Selectable<AuditRow>): AuditRecord {
  return {
    at: new Date(row.at),
    event: originalText(row.event),
    outcome: row.outcome as AuditRecord['outcome'],
    origin: toOrigin(row),
    issuer: originalOptional(row.issuer),
    sub: originalOptional(row.sub),
    serviceId: originalOptional(row.service_id),
    credentialId: originalOptional(row.credential_id),
    code: originalOptional(row.code),
    check: originalOptional(row.failed_check),
    detail: originalOptional(row.detail),
  }
}

/** Where a request came from, out of its three columns. */
export function toOrigin(row: Pick<CredentialRow, 'request_id' | 'address' | 'interface'>): Origin {
  return {
    requestId: originalText(row.request_id),
    address: originalText(row.address),
    interface: originalText(row.interface),
  }
}

/** Bytes from a column as a Buffer, without a copy. */
export function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** The three columns that say where a request came from. */
export function originColumns(
  origin: Origin,
): Pick<CredentialRow, 'request_id' | 'address' | 'interface'> {
  return {
    request_id: storedText(origin.requestId),
    address: storedText(origin.address),
    interface: storedText(origin.interface),
  }
}

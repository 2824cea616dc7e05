/** The records of the service. `src/store` implements their storage on SQLite and PostgreSQL. */
import type { RevocationReason } from '../../ca/crl-entries.ts'

/** How a request reached the service; stored with everything that is issued or refused. */
export interface Origin {
  /** Id of the request in the log. */
  readonly requestId: string
  /** Address of the client (from trusted proxies only), or `local` for the command line. */
  readonly address: string
  /** The interface: `native`, `watts`, `cli`, … */
  readonly interface: string
}

/** A user, identified by (issuer, sub), and the subject name that belongs to it for ever. */
export interface Identity {
  /** UUID. */
  readonly id: string
  readonly issuer: string
  readonly sub: string
  /** Subject of the EECs of this identity as slash-DN. Unique for ever, never given to another identity. */
  readonly subject: string
  readonly createdAt: Date
}

/** A candidate for an identity's subject name. */
export interface SubjectCandidate {
  /** Slash-DN. */
  readonly subject: string
  /**
   * The name in the form that RFC 5280 section 7.1 compares (letter case and runs of spaces are ignored). This form
   * must be unique, so that no relying party can mistake one identity for another.
   */
  readonly comparable: string
}

export type CertificateKind = 'eec' | 'proxy'

/** An issued certificate. */
export interface CertificateRecord {
  /** Serial number, lower-case hex of the DER content octets (even length). */
  readonly serial: string
  readonly kind: CertificateKind
  /** Slash-DN. */
  readonly subject: string
  /** Serial number of the EEC that signed this proxy; undefined for an EEC. */
  readonly issuerSerial: string | undefined
  readonly notBefore: Date
  readonly notAfter: Date
  /** SHA-256 over the certificate's DER, lower-case hex. */
  readonly fingerprint: string
  /** For example `rsa-2048` or `ec-p256`. */
  readonly keyKind: string
}

/** An EEC whose private key the service holds to sign proxies for the identity. */
export interface HeldEndEntity {
  readonly certificate: CertificateRecord
  readonly certificateDer: Buffer
  /** PKCS#8 DER of the key; encrypted under the master key in the database. */
  readonly privateKeyDer: Buffer
}

/** An EEC on record. */
export interface IssuedEndEntity {
  readonly certificate: CertificateRecord
  readonly identity: Identity
  readonly isRevoked: boolean
}

/** A credential: the answer to one request. */
export interface CredentialRecord {
  /** UUID. */
  readonly id: string
  readonly identityId: string
  readonly serviceId: string
  /** The certificates that were made for this credential. */
  readonly certificates: readonly CertificateRecord[]
  /**
   * Serial number of the EEC whose revocation invalidates the credential; undefined when it holds no X.509 certificate.
   */
  readonly endEntitySerial: string | undefined
  /** Serial number of an SSH certificate, decimal. */
  readonly sshSerial: string | undefined
  /** The plugin's handle for revoking it. Unique per identity and service among credentials that are not revoked. */
  readonly pluginState: string | undefined
  readonly issuedAt: Date
  /** When the credential expires; undefined when the plugin did not say. */
  readonly notAfter: Date | undefined
  /** The OAuth client that the token was issued to, if the token names it. */
  readonly clientId: string | undefined
  readonly origin: Origin
  /** The delegation by which it was renewed. */
  readonly delegationId: string | undefined
  /** The credential whose holder renewed it by proof of possession. */
  readonly renewedFrom: string | undefined
  /** When the first credential in a chain of renewals by possession was issued; undefined for the first itself. */
  readonly firstIssuedAt: Date | undefined
}

/** A credential as shown in lists. */
export interface CredentialView {
  readonly id: string
  readonly serviceId: string
  readonly identity: Identity
  readonly certificates: readonly CertificateRecord[]
  readonly endEntitySerial: string | undefined
  readonly sshSerial: string | undefined
  readonly pluginState: string | undefined
  readonly issuedAt: Date
  readonly notAfter: Date | undefined
  readonly clientId: string | undefined
  readonly origin: Origin
  readonly delegationId: string | undefined
  readonly renewedFrom: string | undefined
  readonly firstIssuedAt: Date | undefined
  /** When its owner removed it from the list. */
  readonly forgottenAt: Date | undefined
  readonly revokedAt: Date | undefined
  readonly revocationReason: RevocationReason | undefined
}

/** One line of the audit trail: a decision, including refusals. Never holds a token, a key or a claim set. */
export interface AuditRecord {
  readonly at: Date
  /**
   * Stable event name: `credential.issued`, `credential.refused`, `credential.revoked`, `end-entity.issued`,
   * `crl.issued`, …
   */
  readonly event: string
  readonly outcome: 'allowed' | 'refused'
  readonly origin: Origin
  readonly issuer: string | undefined
  readonly sub: string | undefined
  readonly serviceId: string | undefined
  readonly credentialId: string | undefined
  /** Error code of a refusal; `check` names the check that failed. */
  readonly code: string | undefined
  readonly check: string | undefined
  /** A short sentence, or undefined. */
  readonly detail: string | undefined
}

export interface RevokedCertificate {
  readonly serial: string
  readonly revokedAt: Date
  readonly reason: RevocationReason
  /** When the certificate ends. */
  readonly notAfter: Date
}

/** Selects a page of revocations: those at `from` or later, or those that follow `after`. */
export interface RevocationPage {
  readonly from: Date
  readonly after: Pick<RevokedCertificate, 'revokedAt' | 'serial'> | undefined
  readonly limit: number
}

export interface CrlRecord {
  /** CRL number (RFC 5280 section 5.2.3), rising by one. */
  readonly number: number
  readonly thisUpdate: Date
  readonly nextUpdate: Date
  readonly der: Buffer
  /** How many of all recorded revocations this CRL takes into account; a larger total means that it is outdated. */
  readonly revocations: number
}

/** Selects records by who, where and when; every condition must hold. */
export interface RecordFilter {
  /** Subject name of the identity, slash-DN. */
  readonly subject?: string
  readonly issuer?: string
  readonly sub?: string
  /** Address of the client. */
  readonly address?: string
  readonly serviceId?: string
  readonly clientId?: string
  /** At this time or later. */
  readonly since?: Date
  /** Before this time. */
  readonly until?: Date
}

/** Selects lines of the audit trail, newest first. */
export interface AuditFilter extends RecordFilter {
  readonly outcome?: 'allowed' | 'refused'
  readonly event?: string
  /** At most this many. Default 100, at most 1000. */
  readonly limit?: number
  /** Continue after the line with this number (keyset paging). */
  readonly after?: number
}

/** A line of the audit trail with its number. */
export interface NumberedAuditRecord extends AuditRecord {
  readonly number: number
}

/** A place in a list of records: that of a record, which may be gone. */
export interface RecordPlace {
  /** In milliseconds since the epoch. */
  readonly at: number
  readonly id: string
}

export interface CredentialFilter extends RecordFilter {
  readonly identityId?: string
  /** Only credentials that are neither expired at this time nor revoked. */
  readonly activeAt?: Date
  /** Excludes those that their owner removed from the list. */
  readonly listed?: true
  /** At most this many, newest first. Default 100, at most 1001. */
  readonly limit?: number
  /** Continue after the credential with this id, or after this place (keyset paging). */
  readonly after?: string | RecordPlace
}

export interface RevocationRequest {
  readonly credentialId: string
  /** If set, a credential of another identity is reported as "not found" (never as "not yours"). */
  readonly identityId?: string
  readonly reason: RevocationReason
  readonly at: Date
  readonly origin: Origin
}

export interface Revocation {
  readonly credentialId: string
  readonly endEntitySerial: string | undefined
  /** All credentials that are invalid now because of the EEC, including this one. */
  readonly affectedCredentialIds: readonly string[]
  /** False when it was revoked before: revocation is idempotent and keeps the first time and reason. */
  readonly newlyRevoked: boolean
}

/** An answer that its requester may fetch once. */
export interface Pickup {
  /** SHA-256 of the id in its URL, hex. */
  readonly idDigest: string
  /** SHA-256 over issuer and sub of its owner, hex. */
  readonly ownerDigest: string
}

/** Stores answers to be fetched, encrypted; any replica can deliver them. */
export interface PickupRecords {
  keep(pickup: Pickup, content: string, expiresAt: Date): Promise<void>
  /** Returns the content once; undefined when it was fetched before, has expired, or belongs to another owner. */
  take(pickup: Pickup, now: Date): Promise<string | undefined>
}

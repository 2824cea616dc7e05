/**
 * What the service keeps on record, and the questions it asks of its store. The domain owns these types; `src/store`
 * implements them on SQLite and PostgreSQL.
 */
import type { RevocationReason } from '../../ca/crl-entries.ts'

/** How the caller reached us; kept with everything that is issued or refused. */
export interface Origin {
  /** Id of the request in the log. */
  readonly requestId: string
  /** Address of the client as far as it can be believed, or `local` for the command line. */
  readonly address: string
  /** The interface: `native`, `watts`, `cli`, … */
  readonly interface: string
}

/** (issuer, sub): who a token speaks for, and the subject name that it was given for ever. */
export interface Identity {
  /** UUID of our own. */
  readonly id: string
  readonly issuer: string
  readonly sub: string
  /** Subject of the EECs of this identity as slash-DN. Unique for ever, never given to another identity. */
  readonly subject: string
  readonly createdAt: Date
}

/** A subject name that an identity may be given, in the two forms that the store needs. */
export interface SubjectCandidate {
  /** Slash-DN. */
  readonly subject: string
  /**
   * The name as RFC 5280 section 7.1 compares it (letter case and runs of blanks do not count). Uniqueness is
   * kept over this form, so that no relying party can take two identities for one.
   */
  readonly comparable: string
}

export type CertificateKind = 'eec' | 'proxy'

/** One certificate that was issued. */
export interface CertificateRecord {
  /** Serial number, lower-case hex of the DER content octets (even length). */
  readonly serial: string
  readonly kind: CertificateKind
  /** Slash-DN. */
  readonly subject: string
  /** Serial of the EEC that signed this proxy; undefined for an EEC, which the CA signed. */
  readonly issuerSerial: string | undefined
  readonly notBefore: Date
  readonly notAfter: Date
  /** SHA-256 over the certificate's DER, lower-case hex. */
  readonly fingerprint: string
  /** For example `rsa-2048` or `ec-p256`. */
  readonly keyKind: string
}

/** An EEC whose key the service holds, so that it can sign proxies for the identity. */
export interface HeldEndEntity {
  readonly certificate: CertificateRecord
  readonly certificateDer: Buffer
  /** PKCS#8 DER of the key. In the database only encrypted under the master key. */
  readonly privateKeyDer: Buffer
}

/** What was handed out: one answer to one request. */
export interface CredentialRecord {
  /** UUID. */
  readonly id: string
  readonly identityId: string
  readonly serviceId: string
  /** The certificates that were made for this credential. */
  readonly certificates: readonly CertificateRecord[]
  /** Serial of the EEC under which the credential stands and by whose revocation it dies; undefined: it holds no X.509 certificate. */
  readonly endEntitySerial: string | undefined
  /** Serial number of an SSH certificate, decimal. */
  readonly sshSerial: string | undefined
  /** By what the plugin revokes it. One of a state for each identity and service, until it is revoked. */
  readonly pluginState: string | undefined
  readonly issuedAt: Date
  /** When the credential ends by itself; undefined where the plugin did not say. */
  readonly notAfter: Date | undefined
  /** The OAuth client that the token was issued to, when the token says so. */
  readonly clientId: string | undefined
  readonly origin: Origin
  /** The delegation that it was renewed by. */
  readonly delegationId: string | undefined
  /** The credential by whose possession it was renewed. */
  readonly renewedFrom: string | undefined
  /** When the first credential of a chain of renewals by possession was issued; undefined: this is the first. */
  readonly firstIssuedAt: Date | undefined
}

/** A credential as it is listed. */
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
  /** When its owner took it off the list. */
  readonly forgottenAt: Date | undefined
  readonly revokedAt: Date | undefined
  readonly revocationReason: RevocationReason | undefined
}

/** One line of the audit trail: a decision, refusals too. Never a token, a key or a claim set. */
export interface AuditRecord {
  readonly at: Date
  /** Stable event name: `credential.issued`, `credential.refused`, `credential.revoked`, `end-entity.issued`, `crl.issued`, … */
  readonly event: string
  readonly outcome: 'allowed' | 'refused'
  readonly origin: Origin
  readonly issuer: string | undefined
  readonly sub: string | undefined
  readonly serviceId: string | undefined
  readonly credentialId: string | undefined
  /** Error code and the check that failed, for a refusal. */
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

/** A page of the revocations: those at `from` or later, or the next ones behind `after`. */
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
  /** How many revocations this CRL takes account of, of all that were ever recorded; tells whether it is still complete. */
  readonly revocations: number
}

export interface CredentialFilter {
  readonly identityId?: string
  readonly serviceId?: string
  /** Only credentials that still live at this moment and are not revoked. */
  readonly activeAt?: Date
  /** Without those that their owner took off the list. */
  readonly listed?: true
  /** At most this many, newest first. Default 100, at most 1000. */
  readonly limit?: number
  /** Continue after the credential with this id (keyset paging). */
  readonly after?: string
}

export interface RevocationRequest {
  readonly credentialId: string
  /** When given, the credential must belong to this identity, else it is "not found" (never "not yours"). */
  readonly identityId?: string
  readonly reason: RevocationReason
  readonly at: Date
  readonly origin: Origin
}

export interface Revocation {
  readonly credentialId: string
  readonly endEntitySerial: string | undefined
  /** All credentials that died with the EEC, this one included. */
  readonly affectedCredentialIds: readonly string[]
  /** False when it had been revoked before: revocation is idempotent and keeps its first time and reason. */
  readonly newlyRevoked: boolean
}

/** An answer that waits to be picked up, once, by who asked for it. */
export interface Pickup {
  /** SHA-256 of the id in its address, hex. */
  readonly idDigest: string
  /** SHA-256 over issuer and sub of who may have it, hex. */
  readonly ownerDigest: string
}

/** Answers that wait to be picked up, encrypted, for any replica to hand over. */
export interface PickupRecords {
  keep(pickup: Pickup, content: string, expiresAt: Date): Promise<void>
  /** The content for the first who asks; undefined for anybody after, for somebody else, and when it is too late. */
  take(pickup: Pickup, now: Date): Promise<string | undefined>
}

/**
 * What the service keeps on record, and the questions it asks of its store. The domain owns these types; `src/store`
 * implements them on SQLite and PostgreSQL.
 */
import type { DelegationRecords } from './delegation-records.ts'
import type { SessionRecords } from './session-records.ts'

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

/** CRL reasons that we give (RFC 5280 section 5.3.1), by their names there. */
export type RevocationReason =
  | 'unspecified'
  | 'keyCompromise'
  | 'affiliationChanged'
  | 'superseded'
  | 'cessationOfOperation'
  | 'privilegeWithdrawn'

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

/**
 * The records. Every promise settles within the store's deadline; a database that does not answer gives
 * TtsError `store_unavailable`, a full queue TtsError `overloaded`.
 */
export interface Store {
  readonly kind: 'sqlite' | 'postgresql'
  /** Throws `store_unavailable` when the database cannot be reached or written. */
  ping(): Promise<void>
  close(): Promise<void>

  findIdentity(key: {
    readonly issuer: string
    readonly sub: string
  }): Promise<Identity | undefined>
  /**
   * The identity's record; made with the first candidate name that no other identity was ever given. Safe when
   * called at once by several processes: all get the same record. Throws `conflict` when no candidate is free.
   */
  ensureIdentity(
    key: { readonly issuer: string; readonly sub: string },
    candidates: readonly SubjectCandidate[],
    now: Date,
  ): Promise<Identity>

  /** The held EEC of the identity that lives longest and is neither revoked nor ended at `now`. */
  findHeldEndEntity(
    identityId: string,
    now: Date,
    keyKind: string,
  ): Promise<HeldEndEntity | undefined>
  /** Records an EEC together with its encrypted key and an audit line; durable when the promise is fulfilled. */
  recordEndEntity(identityId: string, endEntity: HeldEndEntity, audit: AuditRecord): Promise<void>

  /**
   * Records a credential, its certificates and its audit line; durable when the promise is fulfilled (group
   * commit). Throws `conflict` with check `end_entity_revoked` when the EEC was revoked meanwhile, with `duplicate_record` when
   * the identity has a credential of this service and plugin state: nothing of it is recorded then.
   */
  recordCredential(credential: CredentialRecord, audit: AuditRecord): Promise<void>
  /** Records a decision that issued nothing. */
  recordAudit(audit: AuditRecord): Promise<void>

  listCredentials(filter: CredentialFilter): Promise<readonly CredentialView[]>
  findCredential(id: string, identityId?: string): Promise<CredentialView | undefined>
  /** The credential that the certificate of this serial number was made for. */
  findCredentialByCertificate(serial: string): Promise<CredentialView | undefined>
  listAudit(filter: {
    readonly limit?: number
    readonly outcome?: 'allowed' | 'refused'
  }): Promise<readonly AuditRecord[]>

  /** The credential of a plugin's state that is not revoked. */
  findCredentialByState(key: {
    readonly identityId: string
    readonly serviceId: string
    readonly state: string
  }): Promise<CredentialView | undefined>
  /** How many listed credentials of the identity live at this moment, by service. */
  countCredentials(identityId: string, activeAt: Date): Promise<ReadonlyMap<string, number>>
  /** The same for one service. */
  countServiceCredentials(
    key: { readonly identityId: string; readonly serviceId: string },
    activeAt: Date,
  ): Promise<number>
  /** Takes a credential off its owner's list; it lives on. False when it is not there. */
  forgetCredential(id: string, identityId: string, at: Date): Promise<boolean>
  /** Serial numbers of the revoked SSH certificates that have not ended. */
  revokedSshSerials(now: Date): Promise<readonly bigint[]>
  /** How many were ever revoked: another number means that a new KRL is due. */
  countRevokedSsh(): Promise<number>
  /**
   * Runs `work` while no other process does for this name.
   *
   * @throws TtsError `overloaded` with check `busy` when it takes longer than `waitMs` until it is its turn
   */
  exclusively<Answer>(name: string, work: () => Promise<Answer>, waitMs: number): Promise<Answer>

  /**
   * Revokes what is under a credential: its EEC, and so everything that stands on it; else the credential itself. Throws
   * `not_found`.
   */
  revoke(request: RevocationRequest): Promise<Revocation>

  /** How many revocations this store has recorded since it was opened; those of other processes do not count. */
  revokedHere(): number

  /** Undefined when there is none, or it is not whole, which a database that was restored in part may hold. */
  latestCrl(): Promise<CrlRecord | undefined>
  /** How many revocations are on record: larger than `CrlRecord.revocations` means that a new CRL is due. */
  countRevocations(): Promise<number>
  /** 0 when there is no CRL. */
  latestCrlNumber(): Promise<number>
  /** Revocations in the order of their dates and serial numbers, also of certificates that have ended. */
  listRevocations(page: RevocationPage): Promise<readonly RevokedCertificate[]>
  /** Stores a CRL when its number is the one after the newest; false when another one has taken that number. */
  addCrl(crl: CrlRecord): Promise<boolean>

  readonly delegations: DelegationRecords
  /** Sessions of the web page. */
  readonly sessions: SessionRecords
  readonly pickups: PickupRecords
  /** Notes that a proof of possession was used; false when it had been. Remembered until `expiresAt` at least. */
  claimProof(digest: string, expiresAt: Date): Promise<boolean>

  /** Removes the keys of EECs that have ended, and audit lines older than `auditBefore`. Certificates stay on record. */
  prune(now: Date, auditBefore: Date): Promise<void>
  /** Encrypts every held key and refresh token anew under the current master key; answers how many were. */
  reencryptKeys(): Promise<number>
}

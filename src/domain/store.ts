/** The questions that the domain asks of its store; `src/store` implements them on SQLite and PostgreSQL. */
import type { DelegationRecords } from './delegations/records.ts'
import type {
  AuditRecord,
  CredentialFilter,
  CredentialRecord,
  CredentialView,
  CrlRecord,
  HeldEndEntity,
  Identity,
  PickupRecords,
  Revocation,
  RevocationPage,
  RevocationRequest,
  RevokedCertificate,
  SubjectCandidate,
} from './records.ts'
import type { SessionRecords } from './session-records.ts'

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

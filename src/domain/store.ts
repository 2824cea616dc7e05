/** The interface of the store; `src/store` implements it on SQLite and PostgreSQL. */
import type { TokenKeyRecords } from './access-tokens/records.ts'
import type { BanRecords } from './bans/records.ts'
import type { DelegationRecords } from './delegations/records.ts'
import type { InstallationRecords, MasterKeyRecords } from './installation.ts'
import type {
  AuditFilter,
  AuditRecord,
  CredentialFilter,
  CredentialRecord,
  CredentialView,
  CrlRecord,
  HeldEndEntity,
  Identity,
  IssuedEndEntity,
  NumberedAuditRecord,
  PickupRecords,
  Revocation,
  RevocationPage,
  RevocationRequest,
  RevokedCertificate,
  SubjectCandidate,
} from './records.ts'
import type { EndedRecords } from './retention/ended-records.ts'
import type { SessionRecords } from './session-records.ts'
import type { KnownGroupsRecords } from './voms/records.ts'

/**
 * The records. Every promise settles within the store's deadline.
 *
 * @throws {TtsError} `store_unavailable` (the database does not answer in time), `overloaded` (the queue is full)
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
  /** Returns whether an identity has a subject with this comparable form. */
  isSubjectTaken(comparable: string): Promise<boolean>
  /**
   * Returns the identity's record, or makes it with the first candidate name that never belonged to another identity.
   * Concurrent calls, also from several processes, get the same record.
   *
   * @throws {TtsError} `conflict` (every candidate belongs to another identity)
   */
  ensureIdentity(
    key: { readonly issuer: string; readonly sub: string },
    candidates: readonly SubjectCandidate[],
    now: Date,
  ): Promise<Identity>

  /** Of the identity's stored EECs that are valid at `now` and not revoked, the one that expires last. */
  findHeldEndEntity(
    identityId: string,
    now: Date,
    keyKind: string,
  ): Promise<HeldEndEntity | undefined>
  /** The EEC with this serial number (hex), held or not, revoked or not. */
  findIssuedEndEntity(serial: string): Promise<IssuedEndEntity | undefined>
  /** Stores an EEC with its encrypted key and an audit line; durable when the promise is fulfilled. */
  recordEndEntity(identityId: string, endEntity: HeldEndEntity, audit: AuditRecord): Promise<void>

  /**
   * Stores a credential, its certificates and its audit line; durable when the promise is fulfilled (group commit).
   * When it throws, nothing is stored.
   *
   * @throws {TtsError} `conflict`, check `end_entity_revoked` (the EEC was revoked meanwhile)
   * @throws {TtsError} `conflict`, check `duplicate_record` (the identity has a credential of this service and plugin
   * state)
   */
  recordCredential(credential: CredentialRecord, audit: AuditRecord): Promise<void>
  /** Stores an audit line without a credential. */
  recordAudit(audit: AuditRecord): Promise<void>

  listCredentials(filter: CredentialFilter): Promise<readonly CredentialView[]>
  findCredential(id: string, identityId?: string): Promise<CredentialView | undefined>
  /** The credential that the certificate of this serial number was made for. */
  findCredentialByCertificate(serial: string): Promise<CredentialView | undefined>
  listAudit(filter: AuditFilter): Promise<readonly NumberedAuditRecord[]>

  /** The credential with this plugin state that is not revoked. */
  findCredentialByState(key: {
    readonly identityId: string
    readonly serviceId: string
    readonly state: string
  }): Promise<CredentialView | undefined>
  /** Number of listed credentials of the identity that are valid at `activeAt`, by service. */
  countCredentials(identityId: string, activeAt: Date): Promise<ReadonlyMap<string, number>>
  /** The same for one service. */
  countServiceCredentials(
    key: { readonly identityId: string; readonly serviceId: string },
    activeAt: Date,
  ): Promise<number>
  /** Removes a credential from its owner's list without revoking it. False when it is not on the list. */
  forgetCredential(id: string, identityId: string, at: Date): Promise<boolean>
  /** Serial numbers of revoked SSH certificates that have not expired. */
  revokedSshSerials(now: Date): Promise<readonly bigint[]>
  /** Number of SSH certificates ever revoked; when it changes, a new KRL is due. */
  countRevokedSsh(): Promise<number>
  /**
   * Runs `work` while holding the lock of this name, across all processes.
   *
   * @param waitMs longest wait for the lock, in milliseconds
   * @throws {TtsError} `overloaded`, check `busy` (the lock was not free in time)
   */
  exclusively<Answer>(name: string, work: () => Promise<Answer>, waitMs: number): Promise<Answer>

  /**
   * Revokes the EEC of a credential and so every proxy under it. A credential without an EEC is itself revoked.
   *
   * @throws {TtsError} `not_found`
   */
  revoke(request: RevocationRequest): Promise<Revocation>

  /** Number of revocations that this process has stored since the store was opened. */
  revokedHere(): number

  /** Undefined when there is none or its row is incomplete, as after a partial restore of the database. */
  latestCrl(): Promise<CrlRecord | undefined>
  /** Number of revocations ever stored; a new CRL is due when it is larger than `CrlRecord.revocations`. */
  countRevocations(): Promise<number>
  /** Of these, those whose rows are in the archive: `listRevocations` does not return them. */
  countArchivedRevocations(): Promise<number>
  /** 0 when there is no CRL. */
  latestCrlNumber(): Promise<number>
  /** Revocations ordered by date and serial number, including those of expired certificates that are not archived. */
  listRevocations(page: RevocationPage): Promise<readonly RevokedCertificate[]>
  /** Stores a CRL if its number follows the newest; false when another CRL has that number already. */
  addCrl(crl: CrlRecord): Promise<boolean>

  readonly delegations: DelegationRecords
  /** Sessions of the web page. */
  readonly sessions: SessionRecords
  readonly pickups: PickupRecords
  readonly bans: BanRecords
  readonly tokenKeys: TokenKeyRecords
  /** The groups in the newest token of each identity. */
  readonly knownGroups: KnownGroupsRecords
  /** The keys that these records belong to. */
  readonly installation: InstallationRecords
  /**
   * Records that a proof of possession was used; false when it was used before. Remembered at least until `expiresAt`.
   */
  claimProof(digest: string, expiresAt: Date): Promise<boolean>

  /** Deletes the keys of expired EECs, and audit lines older than `auditBefore`. Certificate records stay. */
  prune(now: Date, auditBefore: Date): Promise<void>
  /** Records that may move to the archive. */
  readonly endedRecords: EndedRecords
  /** Encrypts every stored key and refresh token again under the current master key; returns how many. */
  reencryptKeys(): Promise<number>
  readonly masterKeys: MasterKeyRecords
}

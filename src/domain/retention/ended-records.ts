/** Records that ended long ago, as the store finds them for the archive. */
import type { RevocationReason } from '../../../ca/crl-entries.ts'
import type { CertificateRecord, CredentialView, Identity, RecordPlace } from '../records.ts'

/** A credential whose validity, and that of its EEC, ended long ago. */
export interface EndedCredential {
  readonly credential: CredentialView
  /** Undefined when it holds no X.509 certificate. */
  readonly endEntity: CertificateRecord | undefined
}

/** An EEC that ended long ago and that no stored credential names. */
export interface EndedEndEntity {
  readonly certificate: CertificateRecord
  readonly identity: Identity
  /** The credential that it was made for; undefined for an EEC whose key the service held. */
  readonly credentialId: string | undefined
  readonly revokedAt: Date | undefined
  readonly revocationReason: RevocationReason | undefined
}

/** Of a page of old records, those that ended long ago and that nothing needs any more. */
export interface EndedPage<Ended> {
  readonly ended: readonly Ended[]
  /** Undefined: this was the last page. */
  readonly next: RecordPlace | undefined
}

/**
 * Finds records for the archive, and removes them. Each call is short: a page is bounded by the rows that are looked
 * at, not by those that are found.
 */
export interface EndedRecords {
  /**
   * Credentials that ended before this time. Those stay that have no end; whose EEC lives, because an EEC is revoked
   * by its credentials; and those of a plugin that are not revoked, because only the plugin can take away what it made,
   * and finds it by its state.
   *
   * Delegations, pick-ups and bans name no credential. A credential's predecessor and delegation are only shown, and
   * the date that limits a chain of renewals is in each of its records. Quotas and lists of valid credentials count
   * nothing that has ended.
   */
  credentials(before: Date, from: RecordPlace | undefined): Promise<EndedPage<EndedCredential>>
  /** EECs that ended before this time. */
  endEntities(before: Date, from: RecordPlace | undefined): Promise<EndedPage<EndedEndEntity>>
  /** Removes credentials and their proxies, in one short transaction. Their EECs and identities stay. */
  removeCredentials(ids: readonly string[]): Promise<void>
  /** Removes EECs and their revocations, in one short transaction. Fails if a credential names one of them. */
  removeEndEntities(serials: readonly string[]): Promise<void>
}

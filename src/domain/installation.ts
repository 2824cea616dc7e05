/** The keys that the records belong to; `src/store` implements their storage. */
import type { AuditRecord } from './records.ts'

/** The CAs of an installation. */
export type AuthorityKind = 'x509-ca' | 'ssh-ca'

/** A CA as the records know it. */
export interface RecordedAuthority {
  /** SHA-256 of the subject public key info (X.509) or of the key blob (SSH), lower-case hex. */
  readonly keyId: string
  /** For people: the slash-DN of a CA, the kind of an SSH key. */
  readonly name: string
  readonly since: Date
}

/** The keys that the records belong to. */
export interface InstallationRecords {
  /** Id of this database, made with it; a restored backup has the same one. */
  databaseId(): Promise<string>
  /** The CA that issued what is in these records; undefined before the first one is recorded. */
  authority(kind: AuthorityKind): Promise<RecordedAuthority | undefined>
  /** All CAs that were ever the current one, in no order. */
  authorities(kind: AuthorityKind): Promise<readonly RecordedAuthority[]>
  /** Records the first CA and returns the recorded one, which is another one if another process was faster. */
  recordAuthority(kind: AuthorityKind, authority: RecordedAuthority): Promise<RecordedAuthority>
  /**
   * Makes another CA the current one, with an audit line. Deletes the EEC keys that the former CA certified, because
   * a proxy must not be signed with them any more.
   */
  adoptAuthority(
    kind: AuthorityKind,
    authority: RecordedAuthority,
    audit: AuditRecord,
  ): Promise<void>
  /** When the last EEC ends that was issued before a roll-over, with the minutes in which replicas follow. */
  lastEndBefore(rolledOverAt: Date): Promise<Date | undefined>
  /** Whether a CA of this kind has issued anything, also before its key was recorded. */
  hasIssued(kind: AuthorityKind): Promise<boolean>
}

/** A master key as the records know it. */
export interface RecordedMasterKey {
  readonly id: string
  readonly isCurrent: boolean
  /** When it came into use. */
  readonly since: Date
}

/** The master keys of the store. */
export interface MasterKeyRecords {
  /** Reads the file of master keys again. Returns whether the keys changed. */
  reload(): Promise<boolean>
  /** All keys that were ever in use. */
  recorded(): Promise<readonly RecordedMasterKey[]>
}

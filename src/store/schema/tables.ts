import type { CompiledQuery, Generated, Kysely } from 'kysely'
import type { NamedLocks } from '../named-locks.ts'

/** Which database the records are in. */
export type DatabaseKind = 'sqlite' | 'postgresql'

/** The tables by name. Times are milliseconds since the epoch; text from outside is in the form of `storedText`. */
export interface Tables {
  readonly identities: IdentityRow
  readonly certificates: CertificateRow
  readonly end_entity_keys: EndEntityKeyRow
  readonly credentials: CredentialRow
  readonly revocations: RevocationRow
  readonly audit: AuditRow
  readonly crls: CrlRow
  readonly crl_parts: CrlPartRow
  readonly heartbeat: { readonly id: number; readonly at: number }
  readonly delegations: DelegationRow
  readonly web_sessions: WebSessionRow
  readonly delegation_events: DelegationEventRow
  readonly used_proofs: { readonly digest: string; readonly expires_at: number }
  readonly pickups: PickupRow
  readonly installation_keys: InstallationKeyRow
  readonly bans: BanRow
  readonly known_groups: KnownGroupsRow
  readonly banned_identities: { readonly identity_id: string; readonly ban_id: string }
  readonly token_keys: TokenKeyRow
  readonly archived_counts: ArchivedCountRow
}

/** The open database. PostgreSQL uses one pool for both; SQLite reads on a connection of its own. */
export interface Database {
  readonly kind: DatabaseKind
  /** For reading outside a transaction. */
  readonly reads: Kysely<Tables>
  /** For transactions and single writing statements. */
  readonly writes: Kysely<Tables>
  readonly timeoutMs: number
  /** Over all replicas on PostgreSQL, within this process on SQLite. */
  readonly locks: NamedLocks
  /** For refresh tokens: over all replicas on PostgreSQL, over all processes of this machine on SQLite. */
  readonly refreshLocks: NamedLocks
  /**
   * Runs statements in one transaction. When `check` selects rows, nothing is written and they are the answer.
   */
  readonly transact: (
    statements: readonly CompiledQuery[],
    check?: CompiledQuery,
  ) => Promise<readonly unknown[]>
  destroy(): Promise<void>
}

/** Runs a question with the deadline of the store and its errors; refused once the store is closed. */
export type Ask = <Answer>(question: () => Promise<Answer>, timeoutMs?: number) => Promise<Answer>

/** A row is never deleted: a subject name belongs to its identity for ever. */
export interface IdentityRow {
  readonly id: string
  readonly issuer: string
  readonly sub: string
  readonly subject: string
  /** Subject as RFC 5280 section 7.1 compares it; unique. */
  readonly comparable: string
  readonly created_at: number
  /** JSON object: by group, the day on which it was last seen in it. See `seen-groups.ts`. NULL before 0008. */
  readonly groups: string | null
}

/** One certificate; a row of an ended one may move to the archive. */
export interface CertificateRow {
  readonly serial: string
  readonly kind: string
  readonly subject: string
  readonly issuer_serial: string | null
  readonly not_before: number
  readonly not_after: number
  readonly fingerprint: string
  readonly key_kind: string
  readonly identity_id: string
  /** The credential that it was made for; NULL for a held EEC. */
  readonly credential_id: string | null
  /** Place among the certificates of its credential. */
  readonly position: number
}

/** The encrypted key of an EEC that the service holds. */
export interface EndEntityKeyRow {
  readonly serial: string
  readonly identity_id: string
  readonly key_kind: string
  readonly not_after: number
  readonly certificate_der: Uint8Array
  readonly master_key_id: string
  readonly sealed_key: Uint8Array
}

/** One answer to one request. */
export interface CredentialRow {
  readonly id: string
  readonly identity_id: string
  readonly service_id: string
  /** NULL: it holds no X.509 certificate. */
  readonly end_entity_serial: string | null
  readonly issued_at: number
  readonly not_after: number | null
  readonly client_id: string | null
  readonly request_id: string
  readonly address: string
  readonly interface: string
  readonly delegation_id: string | null
  readonly renewed_from: string | null
  readonly first_issued_at: number | null
  readonly plugin_state: string | null
  /** SHA-256 of the state: an index has no room for long ones. */
  readonly state_digest: string | null
  /** Decimal. */
  readonly ssh_serial: string | null
  /** Of a credential without an EEC. */
  readonly revoked_at: number | null
  readonly revocation_reason: string | null
  /** When its owner took it off the list. */
  readonly forgotten_at: number | null
}

/** The groups in the newest token of an identity. */
export interface KnownGroupsRow {
  readonly identity_id: string
  readonly stated_at: number
  /** JSON object: by claim, the list of groups. */
  readonly groups: string
}

/** A ban of an identity (`value` is its sub) or of a group. */
export interface BanRow {
  readonly id: string
  /** `identity` or `group`. */
  readonly kind: string
  /** NULL: the group at every provider. */
  readonly issuer: string | null
  readonly value: string
  readonly reason: string
  readonly created_at: number
  readonly created_by: string
  readonly lifted_at: number | null
}

/** A key that these records belong to. */
export interface InstallationKeyRow {
  /** `x509-ca`, `ssh-ca`, `master-key`, or `database` for the id of the database itself. */
  readonly kind: string
  /** Hash of the public key of a CA; id of a master key; id of the database. */
  readonly key_id: string
  /** Identifies the content of a master key, which nobody can compute from the fingerprint. */
  readonly fingerprint: string
  /** For people: the name of a CA, the kind of an SSH key. */
  readonly name: string
  /** `current` or `former`; one current row for each kind. */
  readonly state: string
  readonly since: number
}

/** An answer that waits to be picked up. */
export interface PickupRow {
  readonly id_digest: string
  readonly owner_digest: string
  readonly expires_at: number
  readonly master_key_id: string
  readonly sealed: Uint8Array
}

/**
 * Rows of a kind that moved to the archive. A CRL or KRL is due when the number of revocations rises, so this number
 * must not fall when rows leave.
 */
export interface ArchivedCountRow {
  readonly kind: ArchivedKind
  readonly records: number
}

/** The kinds of rows that are counted when they leave. */
export type ArchivedKind = 'revocations' | 'ssh_revocations'

/** A revoked EEC. */
export interface RevocationRow {
  readonly serial: string
  readonly revoked_at: number
  readonly reason: string
}

/** One line of the audit trail. */
export interface AuditRow {
  readonly id: Generated<number>
  readonly at: number
  readonly event: string
  readonly outcome: string
  readonly request_id: string
  readonly address: string
  readonly interface: string
  readonly issuer: string | null
  readonly sub: string | null
  readonly service_id: string | null
  readonly credential_id: string | null
  readonly code: string | null
  readonly failed_check: string | null
  readonly detail: string | null
}

/** One CRL; its bytes are in `crl_parts`. */
export interface CrlRow {
  readonly number: number
  /** Random: two processes may write the parts of a CRL of one number at once. */
  readonly id: string
  readonly this_update: number
  readonly next_update: number
  /** Of the DER, in bytes. */
  readonly length: number
  readonly revocations: number
}

/** A part of the DER of a CRL. */
export interface CrlPartRow {
  readonly crl_id: string
  /** Counted from 0. */
  readonly position: number
  /** Of the CRL. */
  readonly this_update: number
  readonly bytes: Uint8Array
}

/** The right to renew for an identity. */
export interface DelegationRow {
  readonly id: string
  readonly identity_id: string
  readonly provider_id: string
  readonly label: string | null
  readonly state: string
  /** SHA-256 of the renewal secret. */
  readonly secret_hash: string
  readonly client_id: string | null
  readonly created_at: number
  readonly last_used_at: number | null
  readonly renews_until: number
  /** 0 or 1; NULL before the first refresh. */
  readonly rotates: number | null
  readonly ended_at: number | null
  readonly end_reason: string | null
  readonly request_id: string
  readonly address: string
  readonly interface: string
  /** The refresh token with what is known of it, encrypted; NULL once the delegation is over. */
  /** The refresh token; the column keeps the name that it was made with. */
  readonly sealed_custody: Uint8Array | null
  readonly master_key_id: string | null
  /** The end of which the owner was told. */
  readonly notice_given_for: number | null
  readonly notice_claimed_until: number | null
}

/** One line of a delegation's ledger. */
export interface DelegationEventRow {
  readonly id: Generated<number>
  readonly delegation_id: string
  readonly at: number
  readonly event: string
  readonly outcome: string
  readonly request_id: string
  readonly address: string
  readonly interface: string
  readonly detail: string | null
}

/** A session of the web page. */
export interface WebSessionRow {
  readonly id_digest: string
  /** SHA-256 over issuer and sub. */
  readonly owner_digest: string
  readonly created_at: number
  readonly last_used_at: number
  readonly ends_at: number
  readonly master_key_id: string
  readonly sealed: Uint8Array
}

/** The encrypted key that signs access tokens. */
export interface TokenKeyRow {
  readonly id: string
  readonly created_at: number
  readonly master_key_id: string
  readonly sealed_key: Uint8Array
}

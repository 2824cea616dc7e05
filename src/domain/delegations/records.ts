/** The records of delegations, and the interface of their store. */
import type { HeldRefreshToken } from '../../grants/refresh-token.ts'
import type { AuditRecord, Identity, Origin, RecordPlace } from '../records.ts'

/**
 * `ended`: the provider refuses to renew it, or it reached its maximum age; `revoked`: its owner or the operator
 * ended it.
 */
export type DelegationState = 'active' | 'ended' | 'revoked'

export const delegationStates: readonly DelegationState[] = ['active', 'ended', 'revoked']

/** What can happen to a delegation. */
export type DelegationEventName =
  'made' | 'rotated' | 'used' | 'refused' | 'revoked' | 'ended' | 'notice'

/** One line of a delegation's ledger. Never holds a token or a secret. */
export interface DelegationEvent {
  readonly at: Date
  readonly event: DelegationEventName
  readonly outcome: 'allowed' | 'refused'
  readonly origin: Origin
  readonly detail: string | undefined
}

/** A line for the ledger and, for a decision, one for the audit trail. Both are stored in one transaction. */
export interface LedgerEntry {
  readonly event: DelegationEvent
  readonly audit: AuditRecord | undefined
}

/** The right to renew proxies for an identity while its user is absent. */
export interface Delegation {
  /** UUID. */
  readonly id: string
  readonly identity: Identity
  readonly providerId: string
  /** The label that its owner gave it. */
  readonly label: string | undefined
  readonly state: DelegationState
  /** SHA-256 of the renewal secret, lower-case hex. */
  readonly secretHash: string
  /** The OAuth client that the user's token was issued to. */
  readonly clientId: string | undefined
  readonly createdAt: Date
  readonly lastUsedAt: Date | undefined
  /** Forecast end of renewal. */
  readonly renewsUntil: Date
  /** Whether renewals bring a new refresh token and so a later end; undefined before the first renewal. */
  readonly rotates: boolean | undefined
  readonly endedAt: Date | undefined
  /** Why it ended, one sentence. */
  readonly endReason: string | undefined
  /** The request that made it. */
  readonly origin: Origin
}

/** A delegation to be stored. */
export type NewDelegation = Omit<
  Delegation,
  'identity' | 'state' | 'lastUsedAt' | 'rotates' | 'endedAt' | 'endReason'
> & { readonly identityId: string; readonly held: HeldRefreshToken }

/** Selects delegations. */
export interface DelegationFilter {
  readonly identityId?: string
  readonly state?: DelegationState
  /** Only active ones whose forecast end is after the first and not after the second. */
  readonly ends?: { readonly after: Date; readonly until: Date }
  /** At most this many, newest first. Default 100, at most 1001. */
  readonly limit?: number
  /** Continue after the delegation with this id, or after this place (keyset paging). */
  readonly after?: string | RecordPlace
}

/** The refresh token of one delegation, while this process holds its lock. */
export interface LockedRefreshToken {
  /** Undefined when the delegation is not active: its refresh token was deleted. */
  load(): Promise<HeldRefreshToken | undefined>
  /**
   * Stores the refresh token; durable when fulfilled. False when the delegation is no longer active: nothing was
   * stored.
   *
   * @throws {TtsError} `store_unavailable`
   */
  save(
    held: HeldRefreshToken,
    update: { readonly renewsUntil: Date; readonly entry?: LedgerEntry },
  ): Promise<boolean>
}

/** How a delegation ends. */
export interface DelegationEnd {
  readonly state: 'ended' | 'revoked'
  readonly at: Date
  readonly reason: string
  readonly entry: LedgerEntry
  /** Ends it only while this is the stored refresh token: another process may have got a newer one. */
  readonly onlyIfCurrent?: string
}

/** For how many days ahead the ends of delegations are counted. */
export const forecastDays = [1, 3, 7, 30] as const

/** Number of delegations by state, and when active ones end. */
export interface DelegationCensus {
  readonly counts: Readonly<Record<DelegationState, number>>
  /** How many active ones have a forecast end that is not past yet and within this many days. */
  readonly ending: Readonly<Record<(typeof forecastDays)[number], number>>
  /** Earliest forecast end that is not past yet. */
  readonly firstEnd: Date | undefined
}

/** The store of delegations. Promises settle like those of `Store`. */
export interface DelegationRecords {
  /**
   * Stores a delegation with its encrypted refresh token and its first ledger line.
   *
   * @throws {TtsError} `conflict`, check `delegations_per_identity` (the identity already has `maximum` active ones)
   */
  create(delegation: NewDelegation, entry: LedgerEntry, maximum: number): Promise<void>
  /** With `identityId`, finds only delegations of that identity. */
  find(id: string, identityId?: string): Promise<Delegation | undefined>
  list(filter: DelegationFilter): Promise<readonly Delegation[]>
  /** The latest lines of its ledger, newest first. */
  events(id: string, limit: number): Promise<readonly DelegationEvent[]>
  addEvent(id: string, entry: LedgerEntry): Promise<void>
  /** Records that it was used now. */
  used(id: string, entry: LedgerEntry): Promise<void>
  /**
   * Ends it and deletes its refresh token. Returns the deleted token so that it can be revoked at the provider
   * (`held` is undefined when it could not be decrypted); returns undefined when nothing was ended.
   *
   * @throws {TtsError} `store_unavailable`
   */
  end(
    id: string,
    end: DelegationEnd,
  ): Promise<{ readonly held: HeldRefreshToken | undefined } | undefined>
  /**
   * Runs `work` while holding the lock on the delegation's refresh token.
   *
   * @param waitMs longest wait for the lock, in milliseconds
   * @throws {TtsError} `overloaded`, check `delegation_busy` (the lock was not free in time)
   */
  withRefreshToken<Answer>(
    id: string,
    work: (locked: LockedRefreshToken) => Promise<Answer>,
    waitMs: number,
  ): Promise<Answer>
  census(now: Date): Promise<DelegationCensus>
  /** Active delegations made before `madeBefore`, or with a forecast end before `endedBefore`. */
  overdue(bounds: {
    readonly madeBefore: Date
    readonly endedBefore: Date
  }): Promise<readonly Delegation[]>
  /** Active delegations that end between `now` and `before` and whose notice is neither sent nor claimed. */
  dueForNotice(now: Date, before: Date): Promise<readonly Delegation[]>
  /**
   * Claims the expiry notice for this process until `until`; false when it is sent or another process has claimed it.
   */
  claimNotice(
    delegation: Delegation,
    claim: { readonly now: Date; readonly until: Date },
  ): Promise<boolean>
  /** Records that the expiry notice was sent. */
  noticeGiven(delegation: Delegation, entry: LedgerEntry): Promise<void>
}

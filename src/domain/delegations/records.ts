/** What is on record about delegations, and the questions that the domain asks of its store about them. */
import type { HeldRefreshToken } from '../../grants/refresh-token.ts'
import type { AuditRecord, Identity, Origin } from '../records.ts'

/** `ended`: the provider renews no more, or the bound of its life has come; `revoked`: somebody wanted it so. */
export type DelegationState = 'active' | 'ended' | 'revoked'

export const delegationStates: readonly DelegationState[] = ['active', 'ended', 'revoked']

/** What can happen to a delegation. */
export type DelegationEventName =
  'made' | 'rotated' | 'used' | 'refused' | 'revoked' | 'ended' | 'notice'

/** One line of a delegation's ledger: what happened, by whom and from where. Never a token or a secret. */
export interface DelegationEvent {
  readonly at: Date
  readonly event: DelegationEventName
  readonly outcome: 'allowed' | 'refused'
  readonly origin: Origin
  readonly detail: string | undefined
}

/** A line for the ledger and, where it is a decision, one for the audit trail; both become durable or none. */
export interface LedgerEntry {
  readonly event: DelegationEvent
  readonly audit: AuditRecord | undefined
}

/** The right to renew proxies for an identity with no person present. */
export interface Delegation {
  /** UUID. */
  readonly id: string
  readonly identity: Identity
  readonly providerId: string
  /** What its maker calls it. */
  readonly label: string | undefined
  readonly state: DelegationState
  /** SHA-256 of the renewal secret, lower-case hex. */
  readonly secretHash: string
  /** The OAuth client whose token it was made from. */
  readonly clientId: string | undefined
  readonly createdAt: Date
  readonly lastUsedAt: Date | undefined
  /** Until when it renews by itself, as far as can be told. */
  readonly renewsUntil: Date
  /** Whether each renewal was seen to bring a new refresh token, and so a later end; undefined: never renewed yet. */
  readonly rotates: boolean | undefined
  readonly endedAt: Date | undefined
  /** Why it is over, one sentence. */
  readonly endReason: string | undefined
  /** Where it was made from. */
  readonly origin: Origin
}

/** A delegation as it is made. */
export type NewDelegation = Omit<
  Delegation,
  'identity' | 'state' | 'lastUsedAt' | 'rotates' | 'endedAt' | 'endReason'
> & { readonly identityId: string; readonly held: HeldRefreshToken }

/** What is asked of a list of delegations. */
export interface DelegationFilter {
  readonly identityId?: string
  readonly state?: DelegationState
  /** At most this many, newest first. Default 100, at most 1000. */
  readonly limit?: number
  /** Continue after the delegation with this id (keyset paging). */
  readonly after?: string
}

/** The refresh token of one delegation, while nobody else works with it. */
export interface LockedRefreshToken {
  /** Undefined when the delegation is not active: nothing is held of it any more. */
  load(): Promise<HeldRefreshToken | undefined>
  /**
   * Durable when fulfilled. False when the delegation is active no more: nothing was kept.
   *
   * @throws {TtsError} `store_unavailable`
   */
  save(
    held: HeldRefreshToken,
    about: { readonly renewsUntil: Date; readonly entry?: LedgerEntry },
  ): Promise<boolean>
}

/** How a delegation ends. */
export interface DelegationEnd {
  readonly state: 'ended' | 'revoked'
  readonly at: Date
  readonly reason: string
  readonly entry: LedgerEntry
  /** Only while this is the refresh token that is held: another process may have been given a newer one. */
  readonly onlyIfCurrent?: string
}

/** How many delegations there are, and when the first of the active ones ends. */
export interface DelegationCensus {
  readonly counts: Readonly<Record<DelegationState, number>>
  /** Of those that have not passed it yet. */
  readonly firstEnd: Date | undefined
}

/** The records of delegations; promises settle as those of `Store` do. */
export interface DelegationRecords {
  /**
   * Records a delegation with its refresh token, encrypted, and its first line.
   *
   * @throws {TtsError} `conflict`, check `delegations_per_identity`, when the identity has `maximum` active ones
   */
  create(delegation: NewDelegation, entry: LedgerEntry, maximum: number): Promise<void>
  /** With `identityId` only if it is that identity's. */
  find(id: string, identityId?: string): Promise<Delegation | undefined>
  list(filter: DelegationFilter): Promise<readonly Delegation[]>
  /** The newest lines of its ledger, newest first. */
  events(id: string, limit: number): Promise<readonly DelegationEvent[]>
  addEvent(id: string, entry: LedgerEntry): Promise<void>
  /** Notes that it was used. */
  used(id: string, entry: LedgerEntry): Promise<void>
  /**
   * Ends it and forgets its refresh token; answers what was held (undefined: it could not be read), for the provider to
   * be told, or undefined when nothing was ended.
   *
   * @throws {TtsError} `store_unavailable`
   */
  end(
    id: string,
    end: DelegationEnd,
  ): Promise<{ readonly held: HeldRefreshToken | undefined } | undefined>
  /**
   * Runs `work` while no other process or task works with the delegation's refresh token.
   *
   * @param waitMs how long others are waited for
   * @throws {TtsError} `overloaded`, check `delegation_busy`
   */
  withRefreshToken<Answer>(
    id: string,
    work: (locked: LockedRefreshToken) => Promise<Answer>,
    waitMs: number,
  ): Promise<Answer>
  census(now: Date): Promise<DelegationCensus>
  /** Active ones made before `madeBefore`, or whose forecast end was before `endedBefore`. */
  overdue(bounds: {
    readonly madeBefore: Date
    readonly endedBefore: Date
  }): Promise<readonly Delegation[]>
  /** Active ones that end between `now` and `before` and of whose end nobody was told, and is being told. */
  dueForNotice(now: Date, before: Date): Promise<readonly Delegation[]>
  /** Claims the notice of this end for one process until `until`; false when another one has it or it was given. */
  claimNotice(
    delegation: Delegation,
    claim: { readonly now: Date; readonly until: Date },
  ): Promise<boolean>
  /** Notes that the notice of this end was given. */
  noticeGiven(delegation: Delegation, entry: LedgerEntry): Promise<void>
}

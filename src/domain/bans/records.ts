/** Bans of identities and groups; `src/store` implements their storage. */
import type { AuditRecord, Identity } from '../records.ts'

/** Whom a ban holds for. */
export type BanTarget =
  | { readonly kind: 'identity'; readonly issuer: string; readonly sub: string }
  /** `issuer` undefined: the group of this name at every provider. */
  | { readonly kind: 'group'; readonly issuer: string | undefined; readonly group: string }

export interface Ban {
  /** UUID. */
  readonly id: string
  readonly target: BanTarget
  /** For people: why. */
  readonly reason: string
  readonly createdAt: Date
  /** `cli`, or the operator's issuer and sub. */
  readonly createdBy: string
  readonly liftedAt: Date | undefined
}

/** What a replica must know to refuse banned callers. */
export interface BansInForce {
  readonly bans: readonly Ban[]
  /** Ids of the identities in the records that they hold for. */
  readonly identityIds: ReadonlySet<string>
}

export interface BanRecords {
  /** The bans that are not lifted. */
  inForce(): Promise<BansInForce>
  /** All bans, newest first, at most 1000. */
  list(): Promise<readonly Ban[]>
  find(id: string): Promise<Ban | undefined>
  /** Stores a ban with its audit line. From then on no credential of its identities can be recorded. */
  add(ban: Ban, audit: AuditRecord): Promise<void>
  /** Adds identities that were first seen, or seen in the group, since. Returns all that the ban holds for. */
  sweep(ban: Ban): Promise<readonly Identity[]>
  /** Returns false when there is no such ban, or it was lifted before. */
  lift(id: string, at: Date, audit: AuditRecord): Promise<boolean>
  /**
   * Remembers that an identity was seen in these groups, beside those of earlier requests. A ban of a group holds for
   * those who were seen in it in the last 30 days: a token without the group must not get its holder out.
   */
  rememberGroups(identityId: string, groups: readonly string[], at: Date): Promise<void>
}

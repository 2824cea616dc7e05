/** Forecasts how long a delegation can be renewed, and says what its owner must do before that. */
import { type HeldRefreshToken, renewableUntil } from '../../grants/refresh-token.ts'
import type { Delegation } from './records.ts'

export const DAY_MS = 86_400_000
/** Limits on the life of delegations. */
export interface DelegationBounds {
  /** Longest life of a delegation, in days. */
  readonly maximumDays: number
  /** Life of the provider's refresh tokens, in days; undefined when no delegations are configured for the provider. */
  readonly lifetimeDays: (providerId: string) => number | undefined
}

/** Returns when the delegation ends in any case, however often it is renewed. */
export function lastDay(
  { createdAt }: Pick<Delegation, 'createdAt'>,
  { maximumDays }: Pick<DelegationBounds, 'maximumDays'>,
): Date {
  return new Date(createdAt.getTime() + maximumDays * DAY_MS)
}

/** Returns the forecast end: that of the refresh token, but no later than `lastDay`. */
export function renewsUntil(
  held: HeldRefreshToken,
  delegation: Pick<Delegation, 'createdAt' | 'providerId'>,
  bounds: DelegationBounds,
): Date {
  const last = lastDay(delegation, bounds)
  const lifetimeDays = bounds.lifetimeDays(delegation.providerId)
  const byProvider = lifetimeDays === undefined ? last : renewableUntil(held, lifetimeDays)
  return byProvider < last ? byProvider : last
}

/** Returns one sentence for people: how long the delegation can be renewed, and what to do before. */
export function adviceFor(
  delegation: Pick<
    Delegation,
    | 'state'
    | 'createdAt'
    | 'lastUsedAt'
    | 'renewsUntil'
    | 'rotates'
    | 'endedAt'
    | 'endReason'
    | 'providerId'
  >,
  bounds: DelegationBounds,
  now: Date,
): string {
  const { state, endedAt, endReason, rotates } = delegation
  const again = 'make a new delegation with a new access token'
  if (state !== 'active') {
    const since = endedAt === undefined ? '' : ` since ${shown(endedAt)}`
    return `Renewal is over${since} (${endReason ?? state}); to continue, ${again}.`
  }
  const until = shown(delegation.renewsUntil)
  if (delegation.renewsUntil <= now)
    return `Its forecast end has passed (${until}), so that renewal may fail at any time: ${again} now.`
  const last = lastDay(delegation, bounds)
  if (delegation.renewsUntil >= last)
    return `It renews by itself until ${until}, the longest that this service allows; before that, ${again}.`
  const lifetimeDays = bounds.lifetimeDays(delegation.providerId)
  if (rotates !== false && lifetimeDays !== undefined && isShort(delegation, lifetimeDays))
    return `It renews by itself until ${until}. Every use before then extends this, unless the login session at the provider ends first; after that, ${again}.`
  if (rotates === true && lifetimeDays !== undefined)
    return `It renews by itself until ${until}. Every renewal extends this, at most to ${shown(last)}: you need to do nothing while it is used at least every ${lifetimeDays} days.`
  return `It renews by itself until ${until}, when the provider's refresh token ends; before that, ${again}.`
}

/** Whether the provider has stated an earlier end than the usual one: refresh tokens of a Keycloak session. */
function isShort(
  { createdAt, lastUsedAt, renewsUntil: end }: Parameters<typeof adviceFor>[0],
  lifetimeDays: number,
): boolean {
  return end.getTime() - (lastUsedAt ?? createdAt).getTime() < 0.9 * lifetimeDays * DAY_MS
}

/** Formats a time for people, to the minute, in UTC. */
export function shown(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

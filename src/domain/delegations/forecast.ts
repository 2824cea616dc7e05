/** Until when a delegation renews by itself, and what must be done before. */
import { type HeldRefreshToken, renewableUntil } from '../../grants/refresh-token.ts'
import type { Delegation } from './records.ts'

export const DAY_MS = 86_400_000

/** What bounds the lives of delegations. */
export interface DelegationBounds {
  /** Longest life of a delegation, in days. */
  readonly maximumDays: number
  /** Life of the provider's refresh tokens, in days; undefined for a provider that makes no delegations (any more). */
  readonly lifetimeDays: (providerId: string) => number | undefined
}

/** The end that no renewal moves. */
export function lastDay(
  { createdAt }: Pick<Delegation, 'createdAt'>,
  { maximumDays }: Pick<DelegationBounds, 'maximumDays'>,
): Date {
  return new Date(createdAt.getTime() + maximumDays * DAY_MS)
}

/** The forecast: what the refresh token gives, within the longest life of a delegation. */
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

/** One sentence: until when, and what must be done before. */
export function adviceFor(
  delegation: Pick<
    Delegation,
    'state' | 'createdAt' | 'renewsUntil' | 'rotates' | 'endedAt' | 'endReason' | 'providerId'
  >,
  bounds: DelegationBounds,
  now: Date,
): string {
  const { state, endedAt, endReason, rotates } = delegation
  const again = 'make a new delegation with a new access token'
  if (state !== 'active') {
    const since = endedAt === undefined ? '' : ` since ${shown(endedAt)}`
    return `Renewal is over${since} (${endReason ?? state}); to go on, ${again}.`
  }
  const until = shown(delegation.renewsUntil)
  if (delegation.renewsUntil <= now)
    return `By the forecast its end has passed (${until}), and it may fail at any time: ${again} now.`
  const last = lastDay(delegation, bounds)
  if (delegation.renewsUntil >= last)
    return `It renews by itself until ${until}, the longest that this service allows; before that, ${again}.`
  const lifetimeDays = bounds.lifetimeDays(delegation.providerId)
  if (rotates === true && lifetimeDays !== undefined)
    return `It renews by itself until ${until}, and every renewal moves that on, at most to ${shown(last)}: nothing is to be done while it is used at least every ${lifetimeDays} days.`
  return `It renews by itself until ${until}, when the provider's refresh token ends; before that, ${again}.`
}

/** A time for people, to the minute. */
export function shown(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

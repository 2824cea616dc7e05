/** Rate limiter: one token bucket per key, by the generic cell rate algorithm. */
import { createRecentValues } from '../base/recent-values.ts'

export interface RateLimiter {
  /** Takes a token and returns 0; if there is none, returns the seconds until there is. */
  take(key: string): number
  /** The same without taking a token. */
  look(key: string): number
}

/** Number of keys in memory; the least recently used ones are dropped and start with a full bucket. */
const MAX_KEYS = 100_000

/**
 * @param options.perSecond tokens added per second
 * @param options.burst size of the bucket
 * @param options.nowMs monotonic clock in milliseconds
 */
export function createRateLimiter(options: {
  readonly perSecond: number
  readonly burst: number
  readonly nowMs: () => number
}): RateLimiter {
  const intervalMs = 1000 / options.perSecond
  const toleranceMs = intervalMs * (options.burst - 1)
  /** Time at which each key's bucket is full again, in milliseconds. */
  const fullAt = createRecentValues<number>(MAX_KEYS)
  const stateOf = (key: string): { readonly from: number; readonly waitSeconds: number } => {
    const now = options.nowMs()
    const from = Math.max(fullAt.get(key) ?? now, now)
    return { from, waitSeconds: Math.max(0, Math.ceil((from - now - toleranceMs) / 1000)) }
  }
  return {
    take(key) {
      const { from, waitSeconds } = stateOf(key)
      if (waitSeconds === 0) fullAt.set(key, from + intervalMs)
      return waitSeconds
    },
    look: (key) => stateOf(key).waitSeconds,
  }
}

/** How often something may be done, by key: a token bucket for each, by the generic cell rate algorithm. */
import { LRUCache } from 'lru-cache'

export interface RateLimiter {
  /** Takes one place; answers 0, or the seconds until there is one. */
  take(key: string): number
  /** The same, without taking it. */
  look(key: string): number
}

/** Keys remembered at once; the least recently seen ones start anew. */
const MAX_KEYS = 100_000

/**
 * @param options.perSecond places that come back each second
 * @param options.burst places there are at most
 * @param options.nowMs monotonic clock in milliseconds
 */
export function createRateLimiter(options: {
  readonly perSecond: number
  readonly burst: number
  readonly nowMs: () => number
}): RateLimiter {
  const intervalMs = 1000 / options.perSecond
  const toleranceMs = intervalMs * (options.burst - 1)
  /** Per key: when the bucket is full again. */
  const fullAt = new LRUCache<string, number>({ max: MAX_KEYS })
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

/** One refresh at a time for each delegation: who comes while it is under way gets its answer. */
import { TtsError } from '../../base/errors.ts'
import type { RateLimiter } from '../../limits/rate-limiter.ts'

/** The refreshes under way in this process. */
export interface SharedRefreshes<Answer> {
  /**
   * Answers what the refresh under way answers, or that of a new one.
   *
   * @throws {TtsError} `limit_reached`, check `delegation_rate`; what `fly` throws
   */
  join(delegationId: string, fly: () => Promise<Answer>): Promise<Answer>
  has(delegationId: string): boolean
  /** Fulfilled once all have settled. */
  settled(): Promise<void>
}

/** @param rate how often each delegation may be refreshed */
export function createSharedRefreshes<Answer>(rate: RateLimiter): SharedRefreshes<Answer> {
  const refreshes = new Map<string, Promise<Answer>>()
  return {
    join(id, fly) {
      const underWay = refreshes.get(id)
      if (underWay !== undefined) return underWay
      const retryAfterSeconds = rate.take(id)
      if (retryAfterSeconds > 0) return Promise.reject(tooOften(retryAfterSeconds))
      const refresh = fly().finally(() => refreshes.delete(id))
      refreshes.set(id, refresh)
      return refresh
    },
    has: (id) => refreshes.has(id),
    settled: async () => {
      await Promise.allSettled(refreshes.values())
    },
  }
}

function tooOften(retryAfterSeconds: number): TtsError {
  return new TtsError('limit_reached', 'this delegation was renewed too often just now', {
    check: 'delegation_rate',
    retryAfterSeconds,
  })
}

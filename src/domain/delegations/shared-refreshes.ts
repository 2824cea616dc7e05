/** Runs one refresh at a time for each delegation; callers that come meanwhile get the same answer. */
import { TtsError } from '../../base/errors.ts'
import type { RateLimiter } from '../../limits/rate-limiter.ts'

/** The refreshes under way in this process. */
export interface SharedRefreshes<Answer> {
  /**
   * Returns the answer of the refresh under way, or starts one.
   *
   * @throws {TtsError} `limit_reached`, check `delegation_rate`; what `refresh` throws
   */
  join(delegationId: string, refresh: () => Promise<Answer>): Promise<Answer>
  has(delegationId: string): boolean
  /** Fulfilled once all have settled. */
  settled(): Promise<void>
}

/** @param rate how often each delegation may be refreshed */
export function createSharedRefreshes<Answer>(rate: RateLimiter): SharedRefreshes<Answer> {
  const refreshes = new Map<string, Promise<Answer>>()
  return {
    join(id, refresh) {
      const underWay = refreshes.get(id)
      if (underWay !== undefined) return underWay
      const retryAfterSeconds = rate.take(id)
      if (retryAfterSeconds > 0) return Promise.reject(tooOften(retryAfterSeconds))
      const started = refresh().finally(() => refreshes.delete(id))
      refreshes.set(id, started)
      return started
    },
    has: (id) => refreshes.has(id),
    settled: async () => {
      await Promise.allSettled(refreshes.values())
    },
  }
}

function tooOften(retryAfterSeconds: number): TtsError {
  return new TtsError('limit_reached', 'this delegation was renewed too often', {
    check: 'delegation_rate',
    retryAfterSeconds,
  })
}

/** Limits how many requests of one identity run at the same time, over all its addresses. */
import { TtsError } from '../../base/errors.ts'
import { createShares } from '../../limits/shares.ts'

export interface IdentityKey {
  readonly issuer: string
  readonly sub: string
}

export interface IdentityShare {
  /**
   * Counts a request as running. Returns a function to call when it has ended.
   *
   * @throws {TtsError} `limit_reached`, check `identity_in_flight`
   */
  enter(identity: IdentityKey): () => void
}

/** @param limit requests of one identity that may run at the same time */
export function createIdentityShare(limit: number): IdentityShare {
  const shares = createShares({ total: Infinity, perKey: limit })
  return {
    enter({ issuer, sub }) {
      const entered = shares.enter(JSON.stringify([issuer, sub]))
      if (typeof entered === 'function') return entered
      throw new TtsError(
        'limit_reached',
        `${limit} requests of this identity are already running, the most that one identity may have`,
        {
          check: 'identity_in_flight',
          remedy: 'Raise limits.identity_share if one identity may use more of the service.',
          retryAfterSeconds: 1,
        },
      )
    },
  }
}

/** How much of the service one identity may use at once, whatever its addresses are. */
import { TtsError } from '../errors.ts'

export interface IdentityKey {
  readonly issuer: string
  readonly sub: string
}

export interface IdentityShare {
  /**
   * Takes a part of the identity's share. Answers what gives it back.
   *
   * @throws {TtsError} `limit_reached`, check `identity_in_flight`
   */
  enter(identity: IdentityKey): () => void
}

/** @param limit requests of one identity that may be worked on at once */
export function createIdentityShare(limit: number): IdentityShare {
  const underWay = new Map<string, number>()
  return {
    enter({ issuer, sub }) {
      const key = JSON.stringify([issuer, sub])
      const count = underWay.get(key) ?? 0
      if (count >= limit) {
        throw new TtsError(
          'limit_reached',
          `${limit} requests of this identity are being worked on, the most that one identity may have`,
          { check: 'identity_in_flight', remedy: 'limits.identity_share', retryAfterSeconds: 1 },
        )
      }
      underWay.set(key, count + 1)
      return () => {
        const left = (underWay.get(key) ?? 1) - 1
        if (left > 0) underWay.set(key, left)
        else underWay.delete(key)
      }
    },
  }
}

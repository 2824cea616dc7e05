/** Limits the rate at which an identity may request credentials. */
import { TtsError } from '../../base/errors.ts'
import type { RateLimiter } from '../../limits/rate-limiter.ts'

export interface IdentityLimiter {
  /** @throws {TtsError} `limit_reached`, check `identity_rate` */
  check(identity: { readonly issuer: string; readonly sub: string }): void
}

export function createIdentityLimiter(limiter: RateLimiter): IdentityLimiter {
  return {
    check({ issuer, sub }) {
      const retryAfterSeconds = limiter.take(JSON.stringify([issuer, sub]))
      if (retryAfterSeconds > 0) {
        throw new TtsError(
          'limit_reached',
          'too many credentials were requested by this identity',
          {
            check: 'identity_rate',
            remedy:
              'Raise limits.credentials_per_second_per_identity if identities may request more often.',
            retryAfterSeconds,
          },
        )
      }
    },
  }
}

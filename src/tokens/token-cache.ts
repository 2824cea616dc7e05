import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { TtsError } from '../errors.ts'
import type { VerifiedToken } from './verified-token.ts'

/** A verified token and how long it may be remembered. */
export interface Remembered {
  readonly token: VerifiedToken
  /** Milliseconds since the epoch. */
  readonly untilMs: number
}

/** Bounds of the cache. */
export interface TokenCacheOptions {
  readonly now: () => Date
  /** Default 10,000. */
  readonly maxTokens?: number
  /** Verifications that may run at once. Default 1,000. */
  readonly maxInFlight?: number
}

/** Verified tokens by SHA-256 digest of the token. Refusals are not remembered. */
export interface TokenCache {
  /** The remembered token, or what `verify` makes of it; callers with the same token share one run. */
  resolve(text: string, verify: () => Promise<Remembered>): Promise<VerifiedToken>
  size(): number
}

/** @throws TtsError `overloaded` (from `resolve`) when too many verifications are under way */
export function createTokenCache(options: TokenCacheOptions): TokenCache {
  const { now, maxTokens = 10_000, maxInFlight = 1_000 } = options
  const remembered = new LRUCache<string, Remembered>({ max: maxTokens })
  const inFlight = new Map<string, Promise<VerifiedToken>>()

  async function run(digest: string, verify: () => Promise<Remembered>): Promise<VerifiedToken> {
    try {
      const result = await verify()
      if (result.untilMs > now().getTime()) remembered.set(digest, result)
      return result.token
    } finally {
      inFlight.delete(digest)
    }
  }

  return {
    resolve: async (text, verify) => {
      const digest = createHash('sha256').update(text).digest('base64')
      const hit = remembered.get(digest)
      if (hit !== undefined) {
        if (hit.untilMs > now().getTime()) return hit.token
        remembered.delete(digest)
      }
      const shared = inFlight.get(digest)
      if (shared !== undefined) return shared
      if (inFlight.size >= maxInFlight) {
        throw new TtsError('overloaded', 'too many tokens are being verified', {
          retryAfterSeconds: 1,
        })
      }
      const started = run(digest, verify)
      inFlight.set(digest, started)
      return started
    },
    size: () => remembered.size,
  }
}

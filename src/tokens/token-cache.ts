import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { TtsError } from '../base/errors.ts'
import { partOf } from '../limits/part-of.ts'
import { createShares } from '../limits/shares.ts'
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
  /** The same for one address. Default: an eighth of all. */
  readonly maxInFlightPerAddress?: number
}

/** Verified tokens by SHA-256 digest of the token; and, briefly, tokens of which a provider says that it does not know them. */
export interface TokenCache {
  /**
   * The remembered token, or what `verify` makes of it; callers with the same token share one run.
   *
   * @param address where the token came from; undefined: from ourselves
   * @throws TtsError `overloaded`, `limit_reached` when too many verifications are under way, of all or of this address
   */
  resolve(text: string, verify: () => Promise<Remembered>, address?: string): Promise<VerifiedToken>
  size(): number
}

/** Checks at which a provider was asked and refused: to ask again at once would bring the same answer, for the same price. */
const ASKED_CHECKS: ReadonlySet<string | undefined> = new Set(['active', 'userinfo'])
const REFUSAL_MS = 10_000
const SHARE_OF_ONE_ADDRESS = 1 / 8

export function createTokenCache(options: TokenCacheOptions): TokenCache {
  const { now, maxTokens = 10_000 } = options
  const remembered = new LRUCache<string, Remembered>({ max: maxTokens })
  const refused = new LRUCache<string, { readonly error: TtsError; readonly untilMs: number }>({
    max: maxTokens,
  })
  const inFlight = new Map<string, Promise<VerifiedToken>>()
  const limit = createVerificationLimit(options)

  async function run(digest: string, verify: () => Promise<Remembered>): Promise<VerifiedToken> {
    try {
      const result = await verify()
      if (result.untilMs > now().getTime()) remembered.set(digest, result)
      return result.token
    } catch (error) {
      if (error instanceof TtsError && ASKED_CHECKS.has(error.check))
        refused.set(digest, { error, untilMs: now().getTime() + REFUSAL_MS })
      throw error
    } finally {
      inFlight.delete(digest)
    }
  }

  return {
    resolve: async (text, verify, address = '') => {
      const digest = createHash('sha256').update(text).digest('base64')
      const nowMs = now().getTime()
      const hit = remembered.get(digest)
      if (hit !== undefined && hit.untilMs > nowMs) return hit.token
      remembered.delete(digest)
      const refusal = refused.get(digest)
      if (refusal !== undefined && refusal.untilMs > nowMs) throw refusal.error
      const shared = inFlight.get(digest)
      if (shared !== undefined) return shared
      const leave = limit.enter(address)
      const started = run(digest, verify).finally(leave)
      inFlight.set(digest, started)
      return started
    },
    size: () => remembered.size,
  }
}

/** How many verifications may be under way, of all addresses and of one. */
function createVerificationLimit({
  maxInFlight = 1_000,
  maxInFlightPerAddress = partOf(maxInFlight, SHARE_OF_ONE_ADDRESS),
}: TokenCacheOptions): { readonly enter: (address: string) => () => void } {
  const strangers = createShares({ total: maxInFlight, perKey: maxInFlightPerAddress })
  // Tokens that we got ourselves, for sessions and delegations, are of no address.
  const own = createShares({ total: maxInFlight, perKey: Infinity })
  return {
    enter(address) {
      const entered = (address === '' ? own : strangers).enter(address)
      if (typeof entered === 'function') return entered
      throw entered === 'full'
        ? new TtsError('overloaded', 'too many tokens are being verified', {
            check: 'verifications',
            retryAfterSeconds: 1,
          })
        : new TtsError('limit_reached', 'too many tokens from your address are being verified', {
            check: 'address_verifications',
            retryAfterSeconds: 1,
          })
    },
  }
}

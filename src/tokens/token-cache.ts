import { createHash } from 'node:crypto'
import { elapsedMs, type Moment, momentOf } from '../base/elapsed.ts'
import { TtsError } from '../base/errors.ts'
import { createRecentValues } from '../base/recent-values.ts'
import { createShares, partOf } from '../limits/shares.ts'
import type { VerifiedToken } from './verified-token.ts'

/** A verified token, and how long it may be cached. */
export interface Remembered {
  readonly token: VerifiedToken
  /** Milliseconds since the epoch. */
  readonly untilMs: number
}

/** For how long an entry is valid. Not until when: the clock may be set back. */
interface Kept {
  readonly at: Moment
  readonly lifeMs: number
}

/** Limits of the cache. */
export interface TokenCacheOptions {
  readonly now: () => Date
  /** Default 10,000. */
  readonly maxTokens?: number
  /** Number of verifications that may run at the same time. Default 1,000. */
  readonly maxInFlight?: number
  /** The same for one address. Default: an eighth of the total. */
  readonly maxInFlightPerAddress?: number
}

/** Caches verified tokens by the SHA-256 digest of their text, and briefly also tokens that a provider refused. */
export interface TokenCache {
  /**
   * Returns the cached token or runs `verify`; concurrent callers with the same token share one run.
   *
   * @param address address of the client; undefined for tokens that the service itself obtained
   * @throws {TtsError} `overloaded`, check `verifications`; `limit_reached`, check `address_verifications` (too many
   * are running)
   * @throws what `verify` throws
   */
  resolve(text: string, verify: () => Promise<Remembered>, address?: string): Promise<VerifiedToken>
  size(): number
}

/**
 * Checks that asked a provider. Their refusals are cached, because asking again would cost the same and give the same
 * answer.
 */
const ASKED_CHECKS: ReadonlySet<string | undefined> = new Set(['active', 'userinfo'])
const REFUSAL_MS = 10_000
const SHARE_OF_ONE_ADDRESS = 1 / 8

export function createTokenCache(options: TokenCacheOptions): TokenCache {
  const { now, maxTokens = 10_000 } = options
  const remembered = createRecentValues<Kept & { readonly token: VerifiedToken }>(maxTokens)
  const refused = createRecentValues<Kept & { readonly error: TtsError }>(maxTokens)
  const isValid = ({ at, lifeMs }: Kept): boolean => elapsedMs(at, now) < lifeMs
  const inFlight = new Map<string, Promise<VerifiedToken>>()
  const limit = createVerificationLimit(options)

  async function run(digest: string, verify: () => Promise<Remembered>): Promise<VerifiedToken> {
    try {
      const result = await verify()
      const at = momentOf(now)
      const lifeMs = result.untilMs - at.wallMs
      if (lifeMs > 0) remembered.set(digest, { token: result.token, at, lifeMs })
      return result.token
    } catch (error) {
      if (error instanceof TtsError && ASKED_CHECKS.has(error.check))
        refused.set(digest, { error, at: momentOf(now), lifeMs: REFUSAL_MS })
      throw error
    } finally {
      inFlight.delete(digest)
    }
  }

  return {
    resolve: async (text, verify, address = '') => {
      const digest = createHash('sha256').update(text).digest('base64')
      const hit = remembered.get(digest)
      if (hit !== undefined && isValid(hit)) return hit.token
      remembered.delete(digest)
      const refusal = refused.get(digest)
      if (refusal !== undefined && isValid(refusal)) throw refusal.error
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

/** Limits the number of running verifications, in total and per address. */
function createVerificationLimit({
  maxInFlight = 1_000,
  maxInFlightPerAddress = partOf(maxInFlight, SHARE_OF_ONE_ADDRESS),
}: TokenCacheOptions): { readonly enter: (address: string) => () => void } {
  const strangers = createShares({ total: maxInFlight, perKey: maxInFlightPerAddress })
  // Tokens that the service itself obtained, for sessions and delegations, have no address.
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

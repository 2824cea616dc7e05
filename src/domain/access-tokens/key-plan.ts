/**
 * When a key signs access tokens, is published, and is replaced. All follows from the dates of the keys, so that
 * replicas agree.
 */
import { MAX_TOKEN_LIFETIME_SECONDS } from '../../config/access-token-schema.ts'

/** A key's age is all that counts. */
interface Dated {
  readonly createdAt: Date
}

/** What to do with the keys now. */
export interface KeyPlan<Key extends Dated> {
  /** Undefined: there is no key yet. */
  readonly signing: Key | undefined
  /** Keys by which verifiers may have to check a token, now or soon. */
  readonly published: readonly Key[]
  /** Keys that signed no token that is still valid. */
  readonly obsolete: readonly Key[]
  readonly needsNewKey: boolean
}

const HOUR_MS = 3_600_000
/** Not the configured one: tokens may be out that were signed before it was lowered. */
const TOKEN_LIFETIME_MS = MAX_TOKEN_LIFETIME_SECONDS * 1000
/** Age at which a key is replaced. */
export const KEY_LIFETIME_MS = 90 * 24 * HOUR_MS
/** How long a new key is published before it signs: verifiers keep the key set (scitokens-cpp for 4 days at most). */
export const PUBLISHED_AHEAD_MS = 5 * 24 * HOUR_MS
/** After its last token ended, a key stays published for slow clocks. */
const MARGIN_MS = HOUR_MS

/**
 * Plans by the dates of the keys.
 *
 * @param keys oldest first
 */
export function planKeys<Key extends Dated>(keys: readonly Key[], now: Date): KeyPlan<Key> {
  const nowMs = now.getTime()
  const signsFromMs = ({ createdAt }: Key): number => createdAt.getTime() + PUBLISHED_AHEAD_MS
  // The first key of all signs at once: nobody can have an older key set.
  const signing = keys.findLast((key) => signsFromMs(key) <= nowMs) ?? keys[0]
  const isObsolete = (index: number): boolean => {
    const next = keys[index + 1]
    const lastTokenEndsMs = next && signsFromMs(next) + TOKEN_LIFETIME_MS + MARGIN_MS
    return lastTokenEndsMs !== undefined && lastTokenEndsMs <= nowMs
  }
  const newest = keys.at(-1)
  return {
    signing,
    published: keys.filter((_key, index) => !isObsolete(index)),
    obsolete: keys.filter((_key, index) => isObsolete(index)),
    needsNewKey: newest === undefined || newest.createdAt.getTime() + KEY_LIFETIME_MS <= nowMs,
  }
}

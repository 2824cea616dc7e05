/** Limits how much is in progress at the same time, in total and per key. */
import { createCounts } from '../../plugins/fair-queue.ts'

export interface Shares {
  /** Takes a place and returns a function that releases it; otherwise returns the limit that is reached. */
  enter(key: string): (() => void) | 'key_full' | 'full'
}

/**
 * @param limits.total places for all keys together
 * @param limits.perKey places for one key
 */
export function createShares({
  total,
  perKey,
}: {
  readonly total: number
  readonly perKey: number
}): Shares {
  const counts = createCounts()
  return {
    enter(key) {
      if (counts.total >= total) return 'full'
      if (counts.of(key) >= perKey) return 'key_full'
      counts.add(key)
      let isInside = true
      return () => {
        if (isInside) counts.take(key)
        isInside = false
      }
    },
  }
}

/** Returns one caller's share of a pool, at least 1, so that a single caller cannot use all of it. */
export function partOf(pool: number, share: number): number {
  return Math.max(1, Math.floor(pool * share))
}

/** Limits how much is in progress at the same time, in total and per key. */

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
  const counts = new Map<string, number>()
  let all = 0
  return {
    enter(key) {
      const own = counts.get(key) ?? 0
      if (all >= total) return 'full'
      if (own >= perKey) return 'key_full'
      all += 1
      counts.set(key, own + 1)
      let isInside = true
      return () => {
        if (!isInside) return
        isInside = false
        all -= 1
        const left = (counts.get(key) ?? 1) - 1
        if (left > 0) counts.set(key, left)
        else counts.delete(key)
      }
    },
  }
}

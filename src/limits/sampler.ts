/** Picks the first few of a kind per minute, for records of what strangers can cause as often as they like; the rest is counted. */
import { LRUCache } from 'lru-cache'

/** What goes into the record of a sample. */
export interface Sample {
  /** How many of this kind were passed over since the last sample. */
  readonly suppressed: number
}

/** The sample for a kind of event, or undefined when it is not to be recorded. */
export type Sampler = (kind: string) => Sample | undefined

interface Seen {
  readonly sinceMs: number
  samples: number
  suppressed: number
}

const MINUTE_MS = 60_000
/** Kinds remembered at once; of more there may be a sample too many, within the limit on all. */
const MAX_KINDS = 10_000
/** Kinds that may be sampled in one minute: many addresses must not fill the records either. */
const MAX_KINDS_A_MINUTE = 120

/**
 * @param options.perMinute samples of one kind in a minute
 * @param options.nowMs monotonic clock in milliseconds
 */
export function createSampler(options: {
  readonly perMinute: number
  readonly nowMs: () => number
}): Sampler {
  const { perMinute, nowMs } = options
  const seen = new LRUCache<string, Seen>({ max: MAX_KINDS })
  let minute = { sinceMs: -Infinity, samples: 0 }

  const seenInThisMinute = (kind: string, now: number): Seen => {
    const known = seen.get(kind)
    if (known !== undefined && now - known.sinceMs < MINUTE_MS) return known
    const begun = { sinceMs: now, samples: 0, suppressed: known?.suppressed ?? 0 }
    seen.set(kind, begun)
    return begun
  }

  return (kind) => {
    const now = nowMs()
    if (now - minute.sinceMs >= MINUTE_MS) minute = { sinceMs: now, samples: 0 }
    const own = seenInThisMinute(kind, now)
    if (own.samples >= perMinute || minute.samples >= perMinute * MAX_KINDS_A_MINUTE) {
      own.suppressed += 1
      return undefined
    }
    own.samples += 1
    minute.samples += 1
    const { suppressed } = own
    own.suppressed = 0
    return { suppressed }
  }
}

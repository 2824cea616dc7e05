/**
 * Samples events that strangers can cause without limit: the first few of each kind per minute are recorded, the
 * others counted.
 */
import { createRecentValues } from '../base/recent-values.ts'

/** Data for the record of a sample. */
export interface Sample {
  /** Number of events of this kind that were not recorded since the last sample. */
  readonly suppressed: number
}

/** Returns the sample for an event of this kind, or undefined if it must not be recorded. */
export type Sampler = (kind: string) => Sample | undefined

interface Seen {
  readonly sinceMs: number
  samples: number
  suppressed: number
}

const MINUTE_MS = 60_000
/** Number of kinds in memory. With more, a kind may get more samples, but never more than the total limit. */
const MAX_KINDS = 10_000
/** Number of kinds that may be fully sampled in one minute, so that many addresses cannot fill the records. */
const MAX_KINDS_A_MINUTE = 120

/**
 * @param options.perMinute samples of one kind per minute
 * @param options.nowMs monotonic clock in milliseconds
 */
export function createSampler(options: {
  readonly perMinute: number
  readonly nowMs: () => number
}): Sampler {
  const { perMinute, nowMs } = options
  const seen = createRecentValues<Seen>(MAX_KINDS)
  let minute = { sinceMs: -Infinity, samples: 0 }

  const seenInThisMinute = (kind: string, now: number): Seen => {
    const known = seen.get(kind)
    if (known !== undefined && now - known.sinceMs < MINUTE_MS) return known
    const started = { sinceMs: now, samples: 0, suppressed: known?.suppressed ?? 0 }
    seen.set(kind, started)
    return started
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

/** Picks the first of a kind per minute, for records of what strangers can cause as often as they like; the rest is counted. */
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
  suppressed: number
}

const MINUTE_MS = 60_000
/** Kinds remembered at once; of more there may be a sample too many, within the limit on all. */
const MAX_KINDS = 10_000
/** Samples of all kinds together, a minute: many addresses must not fill the records either. */
const MAX_SAMPLES_A_MINUTE = 120

/** @param options.nowMs monotonic clock in milliseconds */
export function createSampler({ nowMs }: { readonly nowMs: () => number }): Sampler {
  const seen = new LRUCache<string, Seen>({ max: MAX_KINDS })
  let minute = { sinceMs: -Infinity, samples: 0 }
  return (kind) => {
    const now = nowMs()
    if (now - minute.sinceMs >= MINUTE_MS) minute = { sinceMs: now, samples: 0 }
    const known = seen.get(kind)
    const isNew = known === undefined || now - known.sinceMs >= MINUTE_MS
    if (!isNew || minute.samples >= MAX_SAMPLES_A_MINUTE) {
      if (known !== undefined) known.suppressed += 1
      return undefined
    }
    minute.samples += 1
    seen.set(kind, { sinceMs: now, suppressed: 0 })
    return { suppressed: known?.suppressed ?? 0 }
  }
}

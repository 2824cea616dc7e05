/** Loaded into a service with `--import`: writes four times a second how long its event loop was held up. */
import { appendFileSync, readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

/** What one line says. */
export interface LoopSample {
  /** Milliseconds since the epoch, at the end of its quarter of a second. */
  readonly at: number
  readonly maxMs: number
  readonly p99Ms: number
  readonly heapBytes: number
}

export const LOOP_FILE = 'BENCH_LOOP_FILE'
const INTERVAL_MS = 250
const RESOLUTION_MS = 2

/** Returns what a service has written since this time. */
export function readLoopSamples(path: string, since: number): readonly LoopSample[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LoopSample)
    .filter(({ at }) => at >= since)
}

const path = process.env[LOOP_FILE]
// Threads load it, too.
if (path !== undefined && isMainThread) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  setInterval(() => {
    // A histogram without a value says NaN or zero; its values have the resolution in them.
    const delayMs = (nanoseconds: number): number =>
      Math.max(0, (nanoseconds || 0) / 1e6 - RESOLUTION_MS)
    const sample: LoopSample = {
      at: Date.now(),
      maxMs: delayMs(histogram.max),
      p99Ms: delayMs(histogram.percentile(99)),
      heapBytes: process.memoryUsage().heapUsed,
    }
    histogram.reset()
    appendFileSync(path, `${JSON.stringify(sample)}\n`)
  }, INTERVAL_MS).unref()
}

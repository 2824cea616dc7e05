/** The report of `npm run bench:soak`, and its verdict on memory. */
import { type Machine, machineText } from './machine.ts'
import { markdownTable } from './markdown.ts'
import { slope } from './statistics.ts'

/** One round of the load, a minute by default. */
export interface Minute {
  /** Since the start of the run. */
  readonly issued: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly failed: number
  /** The longest that the event loop was held up. */
  readonly loopMaxMs: number
  /** The least of the round. */
  readonly heapBytes: number
  readonly rssBytes: number
  /** With its write-ahead log. */
  readonly databaseBytes: number
}

export interface SoakResults {
  readonly machine: Machine
  readonly startedAt: string
  readonly seconds: number
  readonly connections: number
  readonly minutes: readonly Minute[]
}

/** Memory grows while code is compiled and caches are filled: the first part of the run is not judged. */
const WARM_UP_PART = 0.25
/** Below this, what grows is noise or fragmentation of this run. In MB for 100,000 proxies. */
const STEADY_MB = 2
/** A line through fewer rounds says nothing. */
const FEWEST = 5

const integer = (value: number): string => Math.round(value).toLocaleString('en-US')
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0)

/** One line for a terminal. */
export function minuteLine(minute: Minute): string {
  const { issued, perSecond, p99Ms, rssBytes, heapBytes, loopMaxMs, databaseBytes } = minute
  return `${integer(issued)} issued, ${integer(perSecond)}/s, p99 ${p99Ms.toFixed(0)} ms, RSS ${megabytes(rssBytes)} MB, heap ${megabytes(heapBytes)} MB, event loop ${loopMaxMs.toFixed(0)} ms, database ${megabytes(databaseBytes)} MB`
}

export interface MemoryGrowth {
  /** In MB for 100,000 proxies. */
  readonly rss: number
  readonly heap: number
  readonly rounds: number
}

/** Growth after the warm-up; undefined when there are too few rounds. */
export function memoryGrowth(minutes: readonly Minute[]): MemoryGrowth | undefined {
  const total = minutes.at(-1)?.issued ?? 0
  const judged = minutes.filter(({ issued }) => issued > total * WARM_UP_PART)
  if (judged.length < FEWEST) return undefined
  const growthOf = (bytesOf: (minute: Minute) => number): number =>
    slope(judged.map((minute) => [minute.issued / 100_000, bytesOf(minute) / 1e6]))
  return {
    rss: growthOf(({ rssBytes }) => rssBytes),
    heap: growthOf(({ heapBytes }) => heapBytes),
    rounds: judged.length,
  }
}

/** In Markdown. */
export function soakReport({ machine, startedAt, seconds, minutes, ...run }: SoakResults): string {
  const table = markdownTable<Minute>(
    [
      { head: 'issued', cell: ({ issued }) => integer(issued) },
      { head: 'a second', cell: ({ perSecond }) => integer(perSecond) },
      { head: 'p50, ms', cell: ({ p50Ms }) => p50Ms.toFixed(1) },
      { head: 'p99, ms', cell: ({ p99Ms }) => p99Ms.toFixed(1) },
      { head: 'loop held up at most, ms', cell: ({ loopMaxMs }) => integer(loopMaxMs) },
      { head: 'RSS, MB', cell: ({ rssBytes }) => megabytes(rssBytes) },
      { head: 'heap at least, MB', cell: ({ heapBytes }) => megabytes(heapBytes) },
      { head: 'database, MB', cell: ({ databaseBytes }) => megabytes(databaseBytes) },
      { head: 'failed', cell: ({ failed }) => integer(failed) },
    ],
    minutes,
  )
  return `Soak: ${run.connections} connections, rounds of ${seconds} s. Machine: ${machineText(machine)}. Run: ${startedAt.slice(0, 10)}.

${table}

${verdict(minutes)}
`
}

function verdict(minutes: readonly Minute[]): string {
  const growth = memoryGrowth(minutes)
  if (growth === undefined)
    return 'Memory: too few rounds for a verdict. Take a larger --count or shorter rounds.'
  const { rss, heap, rounds } = growth
  const is = rss <= STEADY_MB ? 'steady' : '**it grows**'
  return `Memory: ${is}. RSS ${rss.toFixed(1)} MB, heap ${heap.toFixed(1)} MB for each 100,000 proxies, by a line through the last ${rounds} rounds, after a quarter of the run. Up to ${STEADY_MB} MB of RSS count as steady.`
}

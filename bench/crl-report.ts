/** The report of `npm run bench:crl`. */
import { type Machine, machineText } from './machine.ts'
import { markdownTable } from './markdown.ts'
import { median, sum } from './statistics.ts'
import type { ThreadCpu } from './thread-cpu.ts'
import type { LoadResult } from './wrk.ts'

/** One CRL with one more entry. */
export interface Making {
  /** From the request that made it due to its row in the database. */
  readonly milliseconds: number
  /** In seconds. */
  readonly cpu: ThreadCpu
  readonly loopMaxMs: number
}

export interface CrlResults {
  readonly machine: Machine
  readonly startedAt: string
  readonly entries: number
  readonly seconds: number
  readonly connections: number
  readonly crlBytes: number
  readonly crlNumber: number
  /** The first CRL after a start, for which all revocations are read; from when the service is ready. */
  readonly first: { readonly milliseconds: number; readonly loopMaxMs: number }
  readonly makings: readonly Making[]
  readonly served: { readonly whole: LoadResult; readonly unchanged: LoadResult }
  readonly proxies: {
    readonly without: readonly LoadResult[]
    readonly during: readonly LoadResult[]
    /** CRLs that were made meanwhile. */
    readonly made: number
    readonly loopMaxMs: { readonly without: number; readonly during: number }
  }
  readonly rss: { readonly before: number; readonly after: number }
}

const integer = (value: number): string => Math.round(value).toLocaleString('en-US')
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1)

/** In Markdown. */
export function crlReport(results: CrlResults): string {
  const { machine, startedAt, entries, crlBytes, first, makings, rss } = results
  const cpuMs = (kind: keyof ThreadCpu): string =>
    integer(median(makings.map(({ cpu }) => cpu[kind] * 1000)))
  const rows: readonly (readonly [string, string])[] = [
    ['size of the CRL', `${megabytes(crlBytes)} MB`],
    [
      'the first CRL after a start, which reads all revocations',
      `${integer(first.milliseconds)} ms`,
    ],
    ['the event loop was held up meanwhile, at most', `${integer(first.loopMaxMs)} ms`],
    [
      'a CRL with one more entry',
      `${integer(median(makings.map((each) => each.milliseconds)))} ms`,
    ],
    ['CPU of the main thread', `${cpuMs('main')} ms`],
    ['CPU of the thread pool (hash, signature)', `${cpuMs('pool')} ms`],
    ['CPU of other threads (database)', `${cpuMs('others')} ms`],
    [
      'the event loop was held up, median and most',
      `${integer(median(makings.map((each) => each.loopMaxMs)))} and ${integer(Math.max(...makings.map((each) => each.loopMaxMs)))} ms`,
    ],
    ['RSS before, without revocations', `${megabytes(rss.before)} MB`],
    ['RSS after', `${megabytes(rss.after)} MB`],
  ]
  const table = markdownTable(
    [
      { head: 'what', cell: ([what]) => what, align: 'left' },
      { head: 'measured', cell: ([, measured]) => measured },
    ],
    rows,
  )
  return `CRL with ${integer(entries)} entries. Machine: ${machineText(machine)}. Run: ${startedAt.slice(0, 10)}.

${table}

${loadTable(results)}
`
}

interface Line {
  readonly what: string
  readonly loads: readonly LoadResult[]
  readonly loopMaxMs: number | undefined
}

function loadTable({ served, proxies, seconds, connections }: CrlResults): string {
  const { without, during, made, loopMaxMs } = proxies
  const lines: readonly Line[] = [
    { what: 'GET of the CRL, 4 connections', loads: [served.whole], loopMaxMs: undefined },
    { what: 'the same, 304', loads: [served.unchanged], loopMaxMs: undefined },
    {
      what: `proxies, ${connections} connections`,
      loads: without,
      loopMaxMs: loopMaxMs.without,
    },
    {
      what: `the same, ${(made / (seconds * during.length)).toFixed(2)} CRLs a second meanwhile`,
      loads: during,
      loopMaxMs: loopMaxMs.during,
    },
  ]
  const medianOf = (loads: readonly LoadResult[], of: (load: LoadResult) => number): number =>
    median(loads.map(of))
  const milliseconds =
    (of: (load: LoadResult) => number) =>
    ({ loads }: Line): string =>
      medianOf(loads, of).toFixed(1)
  return markdownTable<Line>(
    [
      { head: 'load', cell: ({ what }) => what, align: 'left' },
      { head: 'a second', cell: ({ loads }) => integer(medianOf(loads, (one) => one.perSecond)) },
      { head: 'p50, ms', cell: milliseconds(({ p50Ms }) => p50Ms) },
      { head: 'p99, ms', cell: milliseconds(({ p99Ms }) => p99Ms) },
      { head: 'p99.9, ms', cell: milliseconds(({ p999Ms }) => p999Ms) },
      {
        head: 'loop held up at most, ms',
        cell: ({ loopMaxMs: most }) => (most === undefined ? '-' : integer(most)),
      },
      { head: 'failed', cell: ({ loads }) => String(sum(loads.map(({ failed }) => failed))) },
    ],
    lines,
  )
}

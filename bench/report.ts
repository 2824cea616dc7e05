/** The report of a run, in Markdown. */
import { machineText } from './machine.ts'
import { type Column, markdownTable } from './markdown.ts'
import type { RawRate } from './raw.ts'
import type { Result, Results, Start, StartName } from './results.ts'
import { judge, ofReference, timesBare, type Verdict } from './targets.ts'

export function reportText(results: Results): string {
  const { machine, startedAt, seconds, rounds, identities, skipped, errors } = results
  const failures = results.results.filter(({ measured }) => measured.failed > 0)
  const parts = [
    `Machine: ${machineText(machine)}.`,
    `Run: ${startedAt.slice(0, 10)}; medians of ${rounds} rounds of ${seconds} s; ${identities} identities. The load generator (wrk) shares the cores with what is measured.`,
    markdownTable(rawColumns, Object.entries(results.raw)),
    ...resultTable(
      results,
      results.results.filter((each) => !isCached(each)),
    ),
    ...cacheTable(results.results.filter(isCached)),
    ...startTable(results.starts),
    markdownTable(verdictColumns, judge(results)),
    ...failures.map(failureText),
    ...busyNote(results),
    ...errors.map((text) => `**Broken off**: ${text}`),
    ...skipped.map((text) => `Skipped: ${text}.`),
  ]
  return `${parts.map(wrap).join('\n\n')}\n`
}

type RawRow = readonly [string, RawRate]

const rawColumns: readonly Column<RawRow>[] = [
  { head: 'raw, all cores, node:crypto', cell: ([work]) => work, align: 'left' },
  { head: 'a second', cell: ([, { perSecond }]) => count(perSecond) },
  { head: 'CPU, ms each', cell: ([, { cpuMs }]) => cpuMs.toFixed(3) },
]

const latencyColumns: readonly Column<Result>[] = [
  { head: 'p50, ms', cell: ({ measured }) => measured.p50Ms.toFixed(1) },
  { head: 'p99, ms', cell: ({ measured }) => measured.p99Ms.toFixed(1) },
  { head: 'p99.9, ms', cell: ({ measured }) => measured.p999Ms.toFixed(1) },
  { head: 'RSS, MB', cell: ({ measured }) => count(measured.rssBytes / 1e6) },
  { head: 'failed', cell: ({ measured }) => String(measured.failed) },
]

const resultColumns: readonly Column<Result>[] = [
  { head: 'scenario', cell: ({ title }) => title, align: 'left' },
  { head: 'records', cell: recordsText, align: 'left' },
  { head: 'connections', cell: ({ connections }) => String(connections) },
  { head: 'a second', cell: ({ measured }) => count(measured.perSecond) },
  { head: 'of raw', cell: ({ measured }) => optional(measured.ofRaw, 2) },
  { head: 'CPU, ms', cell: ({ measured }) => measured.cpuMs.toFixed(2) },
  { head: 'beyond, ms', cell: ({ measured }) => optional(measured.beyondMs, 2) },
  { head: 'x bare', cell: (result) => optional(timesBare(result), 1) },
  ...latencyColumns,
]

const cacheColumns: readonly Column<Result>[] = [
  { head: 'cache', cell: ({ title }) => title, align: 'left' },
  { head: 'connections', cell: ({ connections }) => String(connections) },
  { head: 'a second', cell: ({ measured }) => count(measured.perSecond) },
  {
    head: 'nginx, a second',
    cell: ({ measured }) => (measured.reference ? count(measured.reference.perSecond) : '-'),
  },
  { head: 'of nginx', cell: (result) => optional(ofReference(result), 2) },
  { head: 'CPU, ms', cell: ({ measured }) => measured.cpuMs.toFixed(3) },
  ...latencyColumns,
]

const verdictColumns: readonly Column<Verdict>[] = [
  { head: 'target', cell: ({ target }) => target, align: 'left' },
  { head: 'wanted', cell: ({ wanted }) => wanted },
  { head: 'measured', cell: ({ value }) => optional(value, 2) },
  { head: 'verdict', cell: ({ verdict }) => verdict, align: 'left' },
]

/** Answers from memory need no raw work. */
const isCached = ({ measured }: Result): boolean => measured.raw === undefined

const resultTable = (results: Results, shown: readonly Result[]): readonly string[] =>
  shown.length === 0 ? [] : [markdownTable(resultColumns, shown), notes(results)]

function cacheTable(results: readonly Result[]): readonly string[] {
  if (results.length === 0) return []
  const note =
    '_of nginx_: rate over that of nginx with one worker, which serves the same bytes from a file to the same load.'
  return [markdownTable(cacheColumns, results), note]
}

const startTitles: Readonly<Record<StartName, string>> = {
  node: '`node -e 0`, until it ends',
  'tts-version': '`tts --version`, until it ends',
  'tts-serve': '`tts serve` with CA and SQLite database, until `/readyz` answers 200',
  'certcache-serve': '`certcache serve`, service down, until `/get_proxy` answers from its state',
}

const startColumns: readonly Column<Start>[] = [
  { head: 'start', cell: ({ name }) => startTitles[name], align: 'left' },
  { head: 'ms', cell: ({ ms }) => count(ms) },
  { head: 'CPU, ms', cell: ({ cpuMs }) => count(cpuMs) },
  { head: 'RSS, MB', cell: ({ rssBytes }) => (rssBytes === 0 ? '-' : count(rssBytes / 1e6)) },
]

const startTable = (starts: readonly Start[]): readonly string[] =>
  starts.length === 0 ? [] : [markdownTable(startColumns, starts)]

const storeNames = { sqlite: 'SQLite', postgres: 'PostgreSQL' }

function recordsText({ store, rows }: Result): string {
  if (store === undefined) return '-'
  return `${storeNames[store]}, ${rows.toLocaleString('en-US')}`
}

function notes({ results }: Results): string {
  const bare = results.flatMap(({ measured }) =>
    measured.raw && measured.reference ? [measured.reference.cpuMs] : [],
  )
  const least = Math.min(...bare).toFixed(3)
  const most = Math.max(...bare).toFixed(3)
  const range = least === most ? least : `${least} to ${most}`
  const lines = [
    '- _of raw_: rate over the raw rate of all cores for the one signature that an answer needs (RSA-2048 or P-256, as the EEC), or for the key pair. The raw rate is measured before and after each round.',
    '- _CPU_: user and system time of the service for each answer, all its threads and processes together. _beyond_: without the CPU time of that one signature or key pair.',
    ...(bare.length === 0
      ? []
      : [
          `- _x bare_: _beyond_ as a multiple of what a bare Node HTTP server spends on a request of the same size with an answer of the same size, in the same rounds: ${range} ms.`,
        ]),
    '- _records_: the database, and the credentials that were on record before. _RSS_: all processes together. _failed_: other answers than expected, broken connections, timeouts.',
    ...(results.some(({ store }) => store === 'postgres') ? [postgresNote] : []),
    ...(results.some(({ name }) => name === 'renewals') ? [renewalNote] : []),
    ...(results.some(({ isPeer }) => isPeer) ? [peerNote] : []),
  ]
  return lines.join('\n')
}

const postgresNote =
  '- PostgreSQL is a program of its own on the same cores. Its CPU time is not in _CPU_.'

const renewalNote =
  '- A renewal asks the identity provider for a fresh token. The demo provider, with the rest of the benchmark, uses the same cores; its CPU time is not in _CPU_.'

const peerNote =
  '- step-ca and Fulcio get CSRs and tokens of the same kinds, a new token each time, and sign with RSA-2048. step-ca serves TLS only: its connections stay open, so no handshake counts, but the encryption does. step-ca records in its default database (Badger), Fulcio records nothing.'

function failureText({ title, measured }: Result): string {
  const first = measured.firstFailure ?? 'no answer, or a timeout'
  return `**${measured.failed} answers failed**: ${title}. The first one: \`${first.replaceAll('`', "'")}\``
}

/** Below this the machine was not ours. */
const QUIET_SHARE = 0.95

function busyNote({ raw, results }: Results): readonly string[] {
  const rates = [...Object.values(raw), ...results.flatMap(({ measured }) => measured.raw ?? [])]
  const least = Math.min(...rates.map(({ cpuShare }) => cpuShare))
  if (least >= QUIET_SHARE) return []
  const percent = Math.round(least * 100)
  return [
    `**The machine was busy**: other programs left only ${percent} % of the cores at times. Repeat the run on a quiet machine; until then rates, latencies and their ratios mean little.`,
  ]
}

const count = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(1)

const optional = (value: number | undefined, digits: number): string =>
  value === undefined ? '-' : value.toFixed(digits)

const MAX_LINE = 116

/** Wraps prose; tables stay as they are. */
function wrap(text: string): string {
  if (text.startsWith('|')) return text
  return text
    .split('\n')
    .map((line) => wrapLine(line, line.startsWith('- ') ? '  ' : ''))
    .join('\n')
}

function wrapLine(line: string, indent: string): string {
  const lines: string[] = []
  let current = ''
  for (const word of line.split(' ')) {
    if (current !== '' && current.length + 1 + word.length > MAX_LINE) {
      lines.push(current)
      current = `${indent}${word}`
    } else current = current === '' ? word : `${current} ${word}`
  }
  return [...lines, current].join('\n')
}

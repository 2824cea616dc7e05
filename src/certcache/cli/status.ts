/** `certcache status`: shows the status to people, scripts and Nagios. */
import { readdir } from 'node:fs/promises'
import { Command } from 'commander'
import { TtsError, type TtsErrorCode } from '../../base/errors.ts'
import { createLog } from '../../base/log.ts'
import { redactText } from '../../base/redact.ts'
import type { LoadedCertcacheSettings } from '../settings/load-settings.ts'
import { reportStatus, type StatusReport } from '../status.ts'
import { formatDuration } from '../../base/duration.ts'
import {
  askRunning,
  type StatusOptions,
  type InstanceTarget,
  targetFromOptions,
  targetFromSettings,
} from './running-instance.ts'
import { settingsFor, type CliRuntime } from './runtime.ts'

/** Exit codes of Nagios plugins. */
export const nagiosCodes = { ok: 0, warning: 1, critical: 2, unknown: 3 } as const

export function statusCommand(runtime: CliRuntime, version: string): Command {
  return new Command('status')
    .description('show the status of the running certcache, or read it from the state directory')
    .option(
      '--url <URL>',
      'URL of the running certcache (default: CERTCACHE_URL, then the address in the settings)',
    )
    .option('--socket <FILE>', 'Unix socket of the running certcache')
    .option(
      '--secret-file <FILE>',
      'file with its secret (default: CERTCACHE_SECRET_FILE, then access.secret_file)',
    )
    .option('--cacert <FILE>', 'PEM file of the CAs that may issue its TLS certificate')
    .option(
      '--state <DIRECTORY>',
      'read the state in this directory instead of asking a running certcache',
    )
    .option('--json', 'print the JSON of /status, for scripts')
    .addHelpText(
      'after',
      `
The first line is the summary. The exit code is that of a Nagios plugin:
  0 OK        all proxies are valid for long enough
  1 WARNING   renewal fails, or ends within 5 days, or a proxy expires soon; workers still get proxies
  2 CRITICAL  there is no valid proxy
  3 UNKNOWN   the status cannot be determined

Examples:
  certcache status
  certcache status --json | jq .proxies[0].seconds_left
  certcache status --url https://cache.example.org:8081 --secret-file ~/.certcache-secret`,
    )
    .action((_options, self: Command) => printStatus(runtime, self.optsWithGlobals(), version))
}

async function printStatus(
  runtime: CliRuntime,
  options: StatusOptions,
  version: string,
): Promise<void> {
  try {
    const { report, from } = await findReport(runtime, options, version)
    const text = options.json
      ? `${JSON.stringify(report, undefined, 2)}\n`
      : formatStatus(report, from, runtime.clock.now())
    runtime.out(text)
    runtime.exitWith(nagiosCodes[report.condition])
  } catch (error) {
    const message = error instanceof Error ? redactText(error.message) : 'unknown error'
    const unknown = { condition: 'unknown', reasons: [message] }
    runtime.out(options.json ? `${JSON.stringify(unknown)}\n` : `UNKNOWN: ${message}\n`)
    const remedy = error instanceof TtsError ? error.remedy : undefined
    if (remedy !== undefined) runtime.note(`  what to do: ${remedy}`)
    runtime.exitWith(nagiosCodes.unknown)
  }
}

interface StatusResult {
  readonly report: StatusReport
  /** Where the report is from, for people. */
  readonly from: string
}

async function findReport(
  runtime: CliRuntime,
  options: StatusOptions,
  version: string,
): Promise<StatusResult> {
  const target = await targetFromOptions(runtime, options)
  if (target) return { report: await askRunning(target), from: `certcache at ${target.shown}` }
  const { url: _, ...own } = options
  const { settings } = await settingsFor(runtime, own)
  // With --state the question is about that directory, even if a certcache answers at the default address.
  if (options.state !== undefined) {
    const report = await readReport({ runtime, settings, version })
    return { report, from: `the state in ${settings.state.directory}` }
  }
  const configured = await targetFromSettings(runtime, options, settings)
  return askOrRead({ runtime, settings, version }, configured)
}

/** Asks the running certcache. If it does not answer, reads the state, which holds less. */
async function askOrRead(
  parts: {
    readonly runtime: CliRuntime
    readonly settings: LoadedCertcacheSettings
    readonly version: string
  },
  target: InstanceTarget,
): Promise<StatusResult> {
  try {
    return { report: await askRunning(target), from: `certcache at ${target.shown}` }
  } catch (error) {
    const reason = error instanceof TtsError ? unansweredReasons[error.code] : undefined
    if (reason === undefined) throw error
    const { url, directory } = parts.settings.state
    const location = url === undefined ? directory : 'PostgreSQL'
    const from = `the state in ${location}; a certcache at ${target.shown} ${reason}`
    return { report: await readReport(parts), from }
  }
}

/** The errors after which the state is read instead. Any other error is reported. */
const unansweredReasons: Partial<Record<TtsErrorCode, string>> = {
  provider_unavailable: 'does not answer',
  access_denied: 'denies access',
}

async function readReport({
  runtime,
  settings,
  version,
}: Parameters<typeof askOrRead>[0]): Promise<StatusReport> {
  const { state, renewal } = settings
  if (state.url === undefined && !(await holdsState(state.directory)))
    throw new TtsError(
      'not_found',
      `no certcache is running, and ${state.directory} holds no state`,
      {
        remedy: 'Start one with `certcache serve`, or name its state with --state or --config.',
      },
    )
  const { clock, random, environment, uid } = runtime
  const log = createLog({ level: 'silent', name: 'certcache' })
  const parts = { log, clock, random, environment, uid, background: false, readOnly: true }
  const engine = await runtime.openEngine(settings, parts)
  try {
    return reportStatus({
      status: engine.status(),
      now: clock.now(),
      warnBelowSeconds: renewal.warn_below_seconds,
      version,
      running: undefined,
    })
  } finally {
    await engine.close()
  }
}

/** True also for a directory that cannot be read: opening it then reports why. */
async function holdsState(directory: string): Promise<boolean> {
  return readdir(directory).then(
    (names) => names.some((name) => name.endsWith('.sealed')),
    (error: unknown) => (error as NodeJS.ErrnoException).code !== 'ENOENT',
  )
}

/** Formats the report for people: first the problems, then what to do, then the facts. */
export function formatStatus(report: StatusReport, from: string, now: Date): string {
  const lines = [headline(report, now)]
  for (const reason of report.reasons.slice(1)) lines.push(`  also: ${reason}`)
  const errors = report.proxies.flatMap(({ last_error: error }) => error ?? [])
  for (const remedy of new Set(errors.flatMap((error) => error.remedy ?? [])))
    lines.push(`  what to do: ${remedy}`)
  lines.push('')
  for (const proxy of report.proxies) lines.push(...proxyLines(proxy, now))
  const { kind, delegation_id: id, advice, ended } = report.source
  const end = report.source.renews_until
  lines.push(
    fact('renewal by', kind === 'none' ? 'nothing yet' : id === null ? kind : `${kind} ${id}`),
    ...(end === null ? [] : [fact('renews until', moment(end, now))]),
    fact(ended === null ? 'note' : 'ended', ended ?? advice),
    fact('reported by', from + runningFor(report, now)),
  )
  if (report.access?.warning !== undefined) lines.push(fact('warning', report.access.warning))
  return `${lines.join('\n')}\n`
}

function headline({ condition, reasons, proxies }: StatusReport, now: Date): string {
  const [reason] = reasons
  if (reason !== undefined) return `${condition.toUpperCase()}: ${reason}`
  const good = proxies.map(
    ({ name, not_after: end }) => `${name} is valid for ${end === null ? '?' : left(end, now)}`,
  )
  return `OK: ${good.join(', ')}`
}

function proxyLines(proxy: StatusReport['proxies'][number], now: Date): readonly string[] {
  const { last_error: error, not_after: end, next_attempt_at: next } = proxy
  const { succeeded, failed } = proxy.attempts
  return [
    fact('proxy', proxy.name),
    ...(proxy.subject === null ? [] : [fact('subject', proxy.subject)]),
    fact('valid until', end === null ? 'no valid proxy' : moment(end, now)),
    ...(proxy.last_success_at === null
      ? []
      : [fact('obtained', moment(proxy.last_success_at, now))]),
    ...(proxy.renewing
      ? [fact('next attempt', 'in progress')]
      : next === null
        ? []
        : [fact('next attempt', moment(next, now))]),
    ...(error === null ? [] : [fact('last error', `${error.message} (${moment(error.at, now)})`)]),
    fact('attempts', `${succeeded} succeeded, ${failed} failed`),
    '',
  ]
}

const fact = (label: string, value: string): string => `${label.padEnd(12)} : ${value}`

const left = (end: string, now: Date): string =>
  formatDuration((Date.parse(end) - now.getTime()) / 1000)

/** `2026-11-27 09:20 UTC, in 3 days 20 hours` */
function moment(text: string, now: Date): string {
  const seconds = (Date.parse(text) - now.getTime()) / 1000
  const distance =
    seconds >= 0 ? `in ${formatDuration(seconds)}` : `${formatDuration(-seconds)} ago`
  return `${text.slice(0, 16).replace('T', ' ')} UTC, ${distance}`
}

function runningFor({ started_at: start }: StatusReport, now: Date): string {
  if (start === null) return ''
  return `, running for ${formatDuration((now.getTime() - Date.parse(start)) / 1000)}`
}

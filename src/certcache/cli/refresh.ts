/** `certcache refresh`: renews once and exits, for cron and timers. */
import { join } from 'node:path'
import { Command } from 'commander'
import { createLog } from '../../base/log.ts'
import { duration, waitSeconds } from '../../cli/duration.ts'
import { TtsError } from '../../base/errors.ts'
import { STANDARD_OUTPUT } from '../../files/output-file.ts'
import { checkOutput } from '../outputs/proxy-output.ts'
import type { ProxyEngine } from '../proxy-engine.ts'
import type { LoadedCertcacheSettings } from '../settings/load-settings.ts'
import { formatDuration, secondsUntil } from '../../base/duration.ts'
import { type SettingsOptions, settingsFor, type CliRuntime } from './runtime.ts'

interface RefreshOptions extends SettingsOptions {
  readonly valid?: number
  readonly proxy?: string
  readonly timeout: number
  readonly quiet?: boolean
  readonly verbose?: boolean
}

export function refreshCommand(runtime: CliRuntime): Command {
  return new Command('refresh')
    .description('renew the proxies that are due, then exit; for cron and timers')
    .option('--url <URL>', 'URL of the Token Translation Service (default: service.url)')
    .option(
      '--token-file <FILE>',
      'file with the access token to start with (default: BEARER_TOKEN, BEARER_TOKEN_FILE, $XDG_RUNTIME_DIR/bt_u$ID, /tmp/bt_u$ID)',
    )
    .option(
      '--valid <TIME>',
      'renew proxies that are valid for less than this: 3600, 45m, 12h30m, 4d, 96:00 (default: as renewal.renew_below says)',
      duration,
    )
    .option('--proxy <NAME>', 'renew only this proxy of the settings')
    .option(
      '-o, --out <FILE>',
      'file for the proxy, or `-` for standard output (default: gwms_proxy in the state directory)',
    )
    .option('--state <DIRECTORY>', 'directory of the state (default: state.directory)')
    .option('--timeout <SECONDS>', 'time limit of the command', waitSeconds, 120)
    .option(
      '--verbose',
      'print each request to the service, its status and its time; never a token',
    )
    .option('-q, --quiet', 'print nothing on success')
    .addHelpText(
      'after',
      `
Does nothing while no proxy is due, so it may run often. It is safe to run it twice at the same time, or while a
\`certcache serve\` with the same state is running. The old file stays until the new one is complete.

Exit codes: 0 all files are up to date, 1 failed, 2 wrong usage or settings, 3 token or renewal refused (a retry does
not help: act), 4 provider or service cannot be reached (try again), 5 no such proxy.

Examples:
  certcache refresh --url https://tts.example.org --token-file /run/secrets/token --valid 12h
  certcache refresh --quiet --valid 48h --out /tmp/x509up_u1000
  23 * * * *  certcache refresh --quiet --config /etc/certcache/certcache.yaml     # crontab`,
    )
    .action((_options, self: Command) => refresh(runtime, self.optsWithGlobals()))
}

async function refresh(runtime: CliRuntime, options: RefreshOptions): Promise<void> {
  const { settings, notes } = await settingsFor(runtime, options)
  const { clock, random, environment, uid } = runtime
  for (const note of notes) if (!options.quiet) runtime.note(`note: ${note}`)
  const log = createLog({
    level: 'warn',
    name: 'certcache',
    destination: { write: (line) => runtime.note(formatLogLine(line)) },
  })
  const trace = options.verbose ? (line: string): void => runtime.note(line) : undefined
  const parts = { log, clock, random, environment, uid, background: false, trace }
  const engine = await runtime.openEngine(settings, parts)
  try {
    await renewAll(runtime, options, { engine, settings })
  } finally {
    await engine.close()
  }
}

interface Refreshing {
  readonly engine: ProxyEngine
  readonly settings: LoadedCertcacheSettings
}

/** Renews each proxy, even when another one fails, and then throws the first error. */
async function renewAll(
  runtime: CliRuntime,
  options: RefreshOptions,
  { engine, settings }: Refreshing,
): Promise<void> {
  const names = options.proxy === undefined ? engine.names : [options.proxy]
  for (const name of names)
    if (!engine.names.includes(name))
      throw new TtsError('not_found', `the settings have no proxy ${name}`, {
        remedy: `Name one of: ${engine.names.join(', ')}.`,
      })
  const signal = AbortSignal.timeout(options.timeout * 1000)
  const failures: unknown[] = []
  for (const name of names) {
    const before = engine.current(name)
    try {
      // A proxy that cannot be written must not be issued.
      await checkOutputs(settings, name)
      const request = { name, validForSeconds: options.valid }
      report(runtime, options, { name, ...(await engine.renewIfDue(request, signal)) })
    } catch (error) {
      failures.push(error)
      const held = engine.current(name)
      if (held) {
        const left = formatDuration(secondsUntil(held.notAfter, runtime.clock.now()))
        const isOld = before?.pem.equals(held.pem) === true
        const message = isOld
          ? 'not renewed; the old proxy'
          : 'renewed, but some output files could not be written; the new proxy'
        runtime.note(`${name}: ${message} is valid for ${left}`)
      }
      // The caller prints the first error.
      if (failures.length > 1 && error instanceof TtsError)
        runtime.note(`${name}: ${error.message}`)
    }
  }
  if (failures.length > 0) throw failures[0]
}

/** The state directory itself is not checked: the proxy is issued even if the state cannot be written. */
async function checkOutputs(
  { proxies, state }: LoadedCertcacheSettings,
  name: string,
): Promise<void> {
  for (const output of proxies[name]?.outputs ?? [])
    if (output.path !== join(state.directory, name)) await checkOutput(output)
}

type Result = Awaited<ReturnType<ProxyEngine['renewIfDue']>> & { readonly name: string }

function report(runtime: CliRuntime, options: RefreshOptions, result: Result): void {
  const { name, renewed, proxy, hasOtherRenewer = false } = result
  const isPrinted = options.out === STANDARD_OUTPUT
  if (isPrinted) runtime.out(proxy.pem)
  const secondsLeft = secondsUntil(proxy.notAfter, runtime.clock.now())
  const left = formatDuration(secondsLeft)
  const line = `${name}: ${describeResult(renewed, hasOtherRenewer)}, valid for ${left}`
  if (!options.quiet && isPrinted) runtime.note(line)
  else if (!options.quiet) runtime.out(`${line}\n`)
  if (options.valid !== undefined && secondsLeft < options.valid)
    runtime.note(
      `certcache: warning: --valid ${formatDuration(options.valid)} is longer than the new proxy ${name} is valid (${left}), so every run renews it; give a shorter time, or set proxies.${name}.lifetime_seconds if the service allows more`,
    )
}

function describeResult(renewed: boolean, hasOtherRenewer: boolean): string {
  if (hasOtherRenewer)
    return renewed
      ? 'renewed by another certcache with this state'
      : 'nothing to do, another certcache with this state renews it'
  return renewed ? 'renewed' : 'nothing to do'
}

/** Formats a JSON line of the log as text. */
function formatLogLine(line: string): string {
  const { level, msg } = JSON.parse(line) as { level: string; msg: string }
  return `${level}: ${msg}`
}

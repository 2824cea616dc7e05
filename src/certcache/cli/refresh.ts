/** `certcache refresh`: one shot, for cron and timers. */
import { Command } from 'commander'
import { createLog } from '../../base/log.ts'
import { duration, waitSeconds } from '../../cli/duration.ts'
import { TtsError } from '../../base/errors.ts'
import type { ProxyEngine } from '../proxy-engine.ts'
import { errorInWords, secondsUntil } from '../words.ts'
import { type SettingsOptions, settingsFor, type CliRuntime } from './runtime.ts'

interface RefreshOptions extends SettingsOptions {
  readonly valid?: number
  readonly proxy?: string
  readonly timeout: number
  readonly quiet?: boolean
}

export function refreshCommand(runtime: CliRuntime): Command {
  return new Command('refresh')
    .description('renew the proxies that are due, once, and end; for cron and timers')
    .option('--url <URL>', 'the Token Translation Service; else service.url of the settings')
    .option(
      '--token-file <FILE>',
      'file with the access token to start from; else BEARER_TOKEN, BEARER_TOKEN_FILE, $XDG_RUNTIME_DIR/bt_u$ID, /tmp/bt_u$ID',
    )
    .option(
      '--valid <TIME>',
      'renew what is valid for less than this (3600, 45m, 12h, 4d, 96:00); else what renewal.renew_below says',
      duration,
    )
    .option('--proxy <NAME>', 'only this one of the proxies in the settings')
    .option('-o, --out <FILE>', 'where the proxy goes; else gwms_proxy in the state directory')
    .option('--state <DIRECTORY>', 'where the state is kept; else state.directory')
    .option('--timeout <SECONDS>', 'how long it may take in all', waitSeconds, 120)
    .option('-q, --quiet', 'print nothing when all is well')
    .addHelpText(
      'after',
      `
Does nothing when the files are good for longer, so that it may run often. Safe when it runs twice at once, and beside
a \`certcache serve\` on the same state. The old file stays until a new one is whole.

Exit codes: 0 all files are good, 1 failed, 2 wrong usage or settings, 3 token or renewal refused (it will be again:
somebody must act), 4 something cannot be reached (try again), 5 no such proxy.

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
    destination: { write: (line) => runtime.note(messageOf(line)) },
  })
  const parts = { log, clock, random, environment, uid, background: false }
  const engine = await runtime.openEngine(settings, parts)
  try {
    await renewAll(runtime, options, engine)
  } finally {
    await engine.close()
  }
}

/** A failure of one does not keep the others from being renewed; the first is what the program ends with. */
async function renewAll(
  runtime: CliRuntime,
  options: RefreshOptions,
  engine: ProxyEngine,
): Promise<void> {
  const names = options.proxy === undefined ? engine.names : [options.proxy]
  for (const name of names)
    if (!engine.names.includes(name))
      throw new TtsError('not_found', `there is no proxy ${name} in the settings`, {
        remedy: `Name one of: ${engine.names.join(', ')}.`,
      })
  const signal = AbortSignal.timeout(options.timeout * 1000)
  const failures: unknown[] = []
  for (const name of names) {
    const before = engine.current(name)
    try {
      const wanted = { name, validForSeconds: options.valid }
      const { renewed, proxy, elsewhere = false } = await engine.renewIfDue(wanted, signal)
      const left = errorInWords(secondsUntil(proxy.notAfter, runtime.clock.now()))
      const done = doneWords(renewed, elsewhere)
      if (!options.quiet) runtime.out(`${name}: ${done}, valid for ${left}\n`)
    } catch (error) {
      failures.push(error)
      const held = engine.current(name)
      if (held) {
        const left = errorInWords(secondsUntil(held.notAfter, runtime.clock.now()))
        const isOld = before?.pem.equals(held.pem) === true
        const what = isOld ? 'not renewed; the old one' : 'not everywhere it belongs; the new one'
        runtime.note(`${name}: ${what} is valid for ${left}`)
      }
      // The first one is printed by the program when it ends.
      if (failures.length > 1 && error instanceof TtsError)
        runtime.note(`${name}: ${error.message}`)
    }
  }
  if (failures.length > 0) throw failures[0]
}

function doneWords(renewed: boolean, elsewhere: boolean): string {
  if (elsewhere)
    return renewed
      ? 'renewed by another certcache of this state'
      : 'nothing to do, another certcache of this state keeps it fresh'
  return renewed ? 'renewed' : 'nothing to do'
}

/** A line of the log, as text. */
function messageOf(line: string): string {
  const { level, msg } = JSON.parse(line) as { level: string; msg: string }
  return `${level}: ${msg}`
}

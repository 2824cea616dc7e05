/** `certcache serve`: renews proxies and serves them to workers, until SIGTERM. */
import { Command } from 'commander'
import type { Logger } from 'pino'
import { TtsError } from '../../base/errors.ts'
import { createLogOutput } from '../../base/log-output.ts'
import { createLog } from '../../base/log.ts'
import { exitCodes } from '../../cli/exit-codes.ts'
import { STANDARD_OUTPUT } from '../../files/output-file.ts'
import { checkOutput } from '../outputs/proxy-output.ts'
import type { RunningEngine } from '../compose.ts'
import type { LoadedSettings } from '../settings/load-settings.ts'
import { type CertcacheServer, startServer } from '../server/server.ts'
import { judge } from '../status.ts'
import { formatDuration, secondsUntil } from '../../base/duration.ts'
import { type SettingsOptions, settingsFor, type CliRuntime } from './runtime.ts'

/** Time limit for open requests and connections at shutdown. */
const CLOSE_MS = 10_000

export function certcacheServeCommand(runtime: CliRuntime, version: string): Command {
  return new Command('serve')
    .description(
      'renew proxies in the background; write them to files and serve them to workers over HTTP',
    )
    .option('--url <URL>', 'URL of the Token Translation Service (default: service.url)')
    .option(
      '--token-file <FILE>',
      'file with the access token to start with (default: BEARER_TOKEN, BEARER_TOKEN_FILE, $XDG_RUNTIME_DIR/bt_u$ID, /tmp/bt_u$ID)',
    )
    .option('--port <PORT>', 'port to listen on (default: listen.port)')
    .option('-o, --out <FILE>', 'file for the proxy (default: gwms_proxy in the state directory)')
    .option('--state <DIRECTORY>', 'directory of the state (default: state.directory)')
    .addHelpText(
      'after',
      `
An access token is enough to start: the service then renews, and certcache writes gwms_proxy into its state directory
and answers  curl http://127.0.0.1:8081/get_proxy  on this machine. A restart needs no new token.

SIGHUP reloads settings, secrets and TLS files. SIGTERM completes open work and exits; a second one exits immediately.

Examples:
  certcache serve --url https://tts.example.org
  certcache serve --url https://tts.example.org --token-file /run/secrets/token --out /tmp/x509up_u1000
  certcache serve --config /etc/certcache/certcache.yaml
  CERTCACHE_SERVICE__URL=https://tts.example.org CERTCACHE_LISTEN__PORT=9000 certcache serve`,
    )
    .action((_options, self: Command) => serve(runtime, self.optsWithGlobals(), version))
}

async function serve(
  runtime: CliRuntime,
  options: SettingsOptions,
  version: string,
): Promise<void> {
  if (options.out === STANDARD_OUTPUT)
    throw new TtsError('invalid_request', '--out: `serve` cannot write to standard output', {
      remedy: 'Name a file, or use `certcache refresh --out -`.',
    })
  const loaded = await settingsFor(runtime, options)
  // With a wrong path on the command line it does not start. Outputs in the settings are tried again each minute.
  if (options.out !== undefined)
    for (const file of loaded.settings.proxies['gwms_proxy']?.outputs ?? []) await checkOutput(file)
  const output = runtime.logDestination
    ? undefined
    : createLogOutput(process.stdout, { name: 'certcache' })
  const destination = runtime.logDestination ?? output
  const log = createLog({
    level: loaded.settings.log_level,
    name: 'certcache',
    ...(destination && { destination }),
  })
  for (const note of loaded.notes) log.warn({ event: 'settings.note' }, note)
  // Before anything else: without a handler the kernel does not deliver SIGTERM to the first process of a container.
  const stopRequested = waitForStop(runtime)
  const engine = await runtime.openEngine(loaded.settings, {
    log,
    clock: runtime.clock,
    random: runtime.random,
    environment: runtime.environment,
    uid: runtime.uid,
    background: true,
  })
  const server = await startServer({
    engine,
    settings: loaded.settings,
    log,
    now: () => runtime.clock.now(),
    version,
  }).catch(async (error: unknown) => {
    await engine.close()
    throw error
  })
  const running = { engine, server, log }
  logStart(running, loaded, runtime.clock.now())
  const stopReloading = reloadOnSignal(runtime, options, running)
  await stopRequested
  log.info({ event: 'certcache.stopping' }, 'shutting down; completing open work')
  await stopReloading()
  await server.close(CLOSE_MS)
  await engine.close()
  log.info({ event: 'certcache.stopped' }, 'stopped')
  // A reader of the log that has stopped reading would keep this process alive.
  if ((await output?.flush(FLUSH_TIMEOUT_MS)) === false) runtime.endNow(exitCodes.done)
}

const FLUSH_TIMEOUT_MS = 1000

interface RunningParts {
  readonly engine: RunningEngine
  readonly server: CertcacheServer
  readonly log: Logger
}

/** Logs the address, the proxies and until when they are valid. */
function logStart(
  { engine, server, log }: RunningParts,
  { settings, path }: LoadedSettings,
  now: Date,
) {
  const { url } = server
  log.info(
    { event: 'certcache.started', url, access: settings.access.mode, settings: path },
    `listening on ${url}; workers fetch ${engine.names.map((name) => `/get_proxy/${name}`).join(', ')}`,
  )
  const status = engine.status()
  for (const { name, proxy } of status.proxies) {
    const fields = {
      event: 'certcache.keeps',
      proxy: name,
      subject: proxy?.subject,
      not_after: proxy?.notAfter,
      files: settings.proxies[name]?.outputs?.map((output) => output.path),
    }
    const left = proxy && formatDuration(secondsUntil(proxy.notAfter, now))
    log.info(fields, left ? `${name} is valid for ${left}` : `no proxy ${name} yet`)
  }
  const { kind, renewsUntil, advice } = status.source
  log.info({ event: 'certcache.source', kind, renews_until: renewsUntil }, advice)
  const warnBelowSeconds = settings.renewal.warn_below_seconds
  const { condition, reasons } = judge(status, { now, warnBelowSeconds })
  if (condition === 'warning')
    for (const reason of reasons) log.warn({ event: 'certcache.warning' }, reason)
}

/** Settles at the first signal. The second one ends the program immediately. */
function waitForStop({ onStop, endNow }: CliRuntime): Promise<void> {
  return new Promise((resolve) => {
    let isStopping = false
    onStop(() => {
      if (isStopping) endNow(1)
      isStopping = true
      resolve()
    })
  })
}

/**
 * Reloads at each SIGHUP, one reload after the other.
 *
 * @returns a function that prevents further reloads and waits for the present one
 */
function reloadOnSignal(
  runtime: CliRuntime,
  options: SettingsOptions,
  running: RunningParts,
): () => Promise<void> {
  let last = Promise.resolve()
  let ended = false
  runtime.onReload(() => {
    last = last.then(async () => (ended ? undefined : reload(runtime, options, running)))
  })
  return () => {
    ended = true
    return last
  }
}

async function reload(
  runtime: CliRuntime,
  options: SettingsOptions,
  { engine, server, log }: RunningParts,
): Promise<void> {
  try {
    const { settings, notes } = await settingsFor(runtime, options)
    for (const note of notes) log.warn({ event: 'settings.note' }, note)
    log.level = settings.log_level
    const restartNeeded = server.reload(settings)
    await engine.reload(settings)
    if (restartNeeded.length > 0) {
      const message = `listen and access are unchanged until a restart, because these keys need one: ${restartNeeded.join(', ')}`
      log.warn({ event: 'settings.restart-needed', keys: restartNeeded }, message)
    }
    log.info({ event: 'settings.reloaded' }, 'reloaded the settings')
  } catch (error) {
    const fields = { event: 'settings.reload-failed', err: error }
    log.error(fields, 'cannot use the new settings; the old ones stay in use')
  }
}

/** `certcache serve`: keeps proxies fresh and gives them to workers, until SIGTERM. */
import { Command } from 'commander'
import type { Logger } from 'pino'
import { createLog } from '../../base/log.ts'
import type { RunningEngine } from '../compose.ts'
import type { LoadedSettings } from '../settings/load-settings.ts'
import { type CertcacheServer, startServer } from '../server/server.ts'
import { judge } from '../status.ts'
import { errorInWords, secondsUntil } from '../words.ts'
import { type SettingsOptions, settingsFor, type CliRuntime } from './runtime.ts'

/** How long requests and connections may take to end. */
const CLOSE_MS = 10_000

export function certcacheServeCommand(runtime: CliRuntime, version: string): Command {
  return new Command('serve')
    .description('keep proxies fresh, as files and for workers over HTTP')
    .option('--url <URL>', 'the Token Translation Service; else service.url of the settings')
    .option(
      '--token-file <FILE>',
      'file with the access token to start from; else BEARER_TOKEN, BEARER_TOKEN_FILE, $XDG_RUNTIME_DIR/bt_u$ID, /tmp/bt_u$ID',
    )
    .option('--port <PORT>', 'port to listen on; else listen.port, else 8081')
    .option('-o, --out <FILE>', 'where the proxy goes; else gwms_proxy in the state directory')
    .option('--state <DIRECTORY>', 'where the state is kept; else state.directory')
    .addHelpText(
      'after',
      `
With nothing but an access token it gets the right to renew from the service, keeps gwms_proxy fresh in its state
directory, and answers  curl http://127.0.0.1:8081/get_proxy  on this machine. A restart needs no new token.

SIGHUP reads settings, secrets and TLS files again. SIGTERM finishes what was begun; a second one ends at once.

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
  const loaded = await settingsFor(runtime, options)
  const log = createLog({
    level: loaded.settings.log_level,
    name: 'certcache',
    ...(runtime.logDestination ? { destination: runtime.logDestination } : {}),
  })
  for (const note of loaded.notes) log.warn({ event: 'settings.note' }, note)
  // From the first moment: the first process of a container does not hear SIGTERM at all without a handler.
  const askedToStop = whenAskedToStop(runtime)
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
  tell(running, loaded, runtime.clock.now())
  const endReloads = reloadOnSignal(runtime, options, running)
  await askedToStop
  log.info({ event: 'certcache.stopping' }, 'finishing what was begun')
  await endReloads()
  await server.close(CLOSE_MS)
  await engine.close()
  log.info({ event: 'certcache.stopped' }, 'stopped')
}

interface RunningParts {
  readonly engine: RunningEngine
  readonly server: CertcacheServer
  readonly log: Logger
}

/** The first lines of the log: where it listens, what it keeps, until when. */
function tell(
  { engine, server, log }: RunningParts,
  { settings, path }: LoadedSettings,
  now: Date,
) {
  const { url } = server
  log.info(
    { event: 'certcache.started', url, access: settings.access.mode, settings: path },
    `listening on ${url}; workers ask for ${engine.names.map((name) => `/get_proxy/${name}`).join(', ')}`,
  )
  const status = engine.status()
  for (const { name, proxy } of status.proxies) {
    const fields = {
      event: 'certcache.keeps',
      proxy: name,
      subject: proxy?.subject,
      notAfter: proxy?.notAfter,
      files: settings.proxies[name]?.outputs?.map((output) => output.path),
    }
    const left = proxy && errorInWords(secondsUntil(proxy.notAfter, now))
    log.info(fields, left ? `${name} is valid for ${left}` : `${name} is not there yet`)
  }
  const { kind, renewsUntil, advice } = status.source
  log.info({ event: 'certcache.source', kind, renewsUntil }, advice)
  const warnBelowSeconds = settings.renewal.warn_below_seconds
  const { condition, reasons } = judge(status, { now, warnBelowSeconds })
  if (condition === 'warning')
    for (const reason of reasons) log.warn({ event: 'certcache.warning' }, reason)
}

/** The first signal asks, the second ends the program at once. */
function whenAskedToStop({ onStop, endNow }: CliRuntime): Promise<void> {
  return new Promise((resolve) => {
    let asked = false
    onStop(() => {
      if (asked) endNow(1)
      asked = true
      resolve()
    })
  })
}

/** SIGHUP: one reload after the other. The answer waits for the one under way and lets no further one begin. */
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
    const waiting = server.reload(settings)
    await engine.reload(settings)
    if (waiting.length > 0) {
      const text = `listen and access stay as they are until a restart, for these changed: ${waiting.join(', ')}`
      log.warn({ event: 'settings.restart-needed', keys: waiting }, text)
    }
    log.info({ event: 'settings.reloaded' }, 'the settings were read again')
  } catch (error) {
    const fields = { event: 'settings.reload-failed', err: error }
    log.error(fields, 'the settings cannot be used; the old ones stay in use')
  }
}

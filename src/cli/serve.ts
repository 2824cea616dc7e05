/** `tts serve`: runs the service until SIGTERM or SIGINT. */
import { Command } from 'commander'
import type { Logger } from 'pino'
import { TtsError } from '../base/errors.ts'
import { createLogOutput } from '../base/log-output.ts'
import { createLog } from '../base/log.ts'
import { readBuildInfo } from '../base/build-info.ts'
import { exitCodes } from './exit-codes.ts'
import { type Running, serve } from '../service/serve.ts'
import { startTracing } from '../service/tracing.ts'
import { refuseRootOnOthersData } from './act-as-owner.ts'
import { serviceConfiguration, type OperatorOptions, type Terminal } from './terminal.ts'

export function serveCommand(terminal: Terminal): Command {
  return new Command('serve')
    .description('run the service')
    .addHelpText(
      'after',
      `
Without configuration the service listens on http://127.0.0.1:8080 and creates a SQLite database and a new CA, both
in $XDG_DATA_HOME/tts or ~/.local/share/tts. It then trusts no provider and refuses every token.
HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR: see docs/network.md. OTEL_EXPORTER_OTLP_ENDPOINT switches on
traces: see docs/operations.md, "Traces".
On SIGTERM it finishes the current requests and stops; a second SIGTERM stops it immediately. On SIGHUP it reads the
configuration, the CA and all files again, without losing a request.

Examples:
  tts serve --config /etc/tts/tts.yaml
  TTS_LISTEN__PORT=9000 TTS_PROVIDERS__IAM__ISSUER=https://iam.example.org/ \\
    TTS_PROVIDERS__IAM__AUDIENCES='[https://tts.example.org]' tts serve`,
    )
    .action((_options, self: Command) => run(terminal, self.optsWithGlobals()))
}

async function run(terminal: Terminal, options: OperatorOptions): Promise<void> {
  const loaded = await serviceConfiguration(terminal, options)
  refuseRootOnOthersData(loaded.dataDirectory)
  const output = createLogOutput(process.stdout, { name: 'tts' })
  const log = createLog({ level: loaded.configuration.log.level, name: 'tts', destination: output })
  // The handlers are set first: creating a CA takes seconds, and the first process of a container ignores SIGTERM
  // without a handler.
  const stopSignal = waitForStopSignal()
  const reloading = reloadOnSignal(terminal, options, log)
  const { environment } = terminal
  const tracing = await startTracing(environment, { build: readBuildInfo(), log })
  const running = await serve(loaded, log, { environment })
  reloading.begin(running)
  await stopSignal
  await running.stop()
  await tracing?.stop()
  // A reader of the log that has stopped reading would keep this process alive.
  if (!(await output.flush(FLUSH_TIMEOUT_MS))) process.exit(exitCodes.done)
}

const FLUSH_TIMEOUT_MS = 1000

/** Reads the configuration again at SIGHUP. What cannot be used is logged, and the old configuration stays in use. */
function reloadOnSignal(terminal: Terminal, options: OperatorOptions, log: Logger) {
  let running: Running | undefined
  let isDue = false
  const reload = (): void => {
    // Before the service has started, the signal waits.
    isDue = running === undefined
    if (running === undefined) return
    const service = running
    log.info({ event: 'service.reloading' }, 'reading the configuration again')
    serviceConfiguration(terminal, options)
      .then(async (loaded) => service.reload(loaded))
      .catch((error: unknown) => {
        const remedy = error instanceof TtsError ? error.remedy : undefined
        log.error(
          { event: 'service.reload-failed', err: error, ...(remedy !== undefined && { remedy }) },
          'the new configuration cannot be used; the old one stays in use',
        )
      })
  }
  process.on('SIGHUP', reload)
  return {
    begin(started: Running) {
      running = started
      if (isDue) reload()
    },
  }
}

/** Resolves at the first signal. A second signal ends the program immediately. */
function waitForStopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let isStopping = false
    const stop = (): void => {
      if (isStopping) process.exit(1)
      isStopping = true
      resolve()
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
}

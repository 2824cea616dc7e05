/** `tts serve`: runs the service until SIGTERM or SIGINT. */
import { Command } from 'commander'
import { createLog } from '../base/log.ts'
import { serve } from '../service/serve.ts'
import { loadedConfigurationFor, type OperatorOptions, type Terminal } from './terminal.ts'

export function serveCommand(terminal: Terminal): Command {
  return new Command('serve')
    .description('run the service')
    .addHelpText(
      'after',
      `
Without configuration the service listens on http://127.0.0.1:8080 and creates a SQLite database and a new CA, both
in $XDG_DATA_HOME/tts or ~/.local/share/tts. It then trusts no provider and refuses every token.
HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR: see docs/network.md.
On SIGTERM it finishes the current requests and stops; a second SIGTERM stops it immediately.

Examples:
  tts serve --config /etc/tts/tts.yaml
  TTS_LISTEN__PORT=9000 TTS_PROVIDERS__IAM__ISSUER=https://iam.example.org/ \\
    TTS_PROVIDERS__IAM__AUDIENCES='[https://tts.example.org]' tts serve`,
    )
    .action((_options, self: Command) => run(terminal, self.optsWithGlobals()))
}

async function run(terminal: Terminal, options: OperatorOptions): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options)
  const log = createLog({ level: loaded.configuration.log.level, name: 'tts' })
  // The handlers are set first: creating a CA takes seconds, and the first process of a container ignores SIGTERM
  // without a handler.
  const stopSignal = waitForStopSignal()
  const running = await serve(loaded, log, { environment: terminal.environment })
  await stopSignal
  await running.stop()
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

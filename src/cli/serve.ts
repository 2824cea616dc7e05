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
With no configuration at all it listens on http://127.0.0.1:8080, keeps its records in SQLite and makes a new CA, all
below $XDG_DATA_HOME/tts or ~/.local/share/tts; it then trusts no provider, so that it refuses every token.
SIGTERM finishes the requests under way and stops; a second one stops at once.

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
  // From the first moment: a new CA takes seconds to make, and the first process of a container does not hear SIGTERM
  // at all without a handler.
  const askedToStop = whenAskedToStop()
  const running = await serve(loaded, log, { environment: terminal.environment })
  await askedToStop
  await running.stop()
}

/** The first signal asks, the second ends the program at once. */
function whenAskedToStop(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false
    const stop = (): void => {
      if (asked) process.exit(1)
      asked = true
      resolve()
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
}

/** The command tree of certcache. */
import type { EventEmitter } from 'node:events'
import { Command, CommanderError } from 'commander'
import { exitCodeOf, exitCodes } from '../../cli/exit-codes.ts'
import { TtsError } from '../../base/errors.ts'
import { redactText } from '../../base/redact.ts'
import { loginCommand } from './login.ts'
import { refreshCommand } from './refresh.ts'
import { certcacheServeCommand } from './serve.ts'
import { nagiosCodes, statusCommand } from './status.ts'
import type { CliRuntime } from './runtime.ts'

/** Creates the command tree. `version` is that of the package. */
export function createCertcacheProgram(runtime: CliRuntime, version: string): Command {
  const program = new Command('certcache')
    .description('turns an access token into proxies and renews them, for unattended workers')
    .version(version)
    .option(
      '-c, --config <FILE>',
      'settings file (default: CERTCACHE_CONFIG, ./certcache.yaml, /etc/certcache/certcache.yaml)',
    )
    .showHelpAfterError('(run it with --help to see the options)')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => runtime.out(text),
      writeErr: (text) => runtime.note(text.trimEnd()),
    })
  program
    .addCommand(certcacheServeCommand(runtime, version))
    .addCommand(refreshCommand(runtime))
    .addCommand(statusCommand(runtime, version))
    .addCommand(loginCommand(runtime))
  program.addHelpText(
    'after',
    `
Examples:
  certcache serve --url https://tts.example.org          start with the token in BEARER_TOKEN or /tmp/bt_u$ID
  curl http://127.0.0.1:8081/get_proxy                   fetch the proxy, as a worker does
  certcache status                                       show the status and until when renewal works

The environment can set every key of the settings: CERTCACHE_LISTEN__PORT=9000 sets listen.port. The variables of the
old DODAS cache (IAM_TOKEN, IAM_CLIENT_ID, PROXY_AUDIENCE, …) still work.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 refused, 4 a server cannot be reached (try again), 5 not
found. \`certcache status\` uses the exit codes of Nagios plugins instead.`,
  )
  inherit(program)
  return program
}

/** Applies settings of the root that commander does not pass on to separately created commands. */
function inherit(command: Command): void {
  command.exitOverride()
  for (const child of command.commands) {
    child.copyInheritedSettings(command)
    if ((child as unknown as EventEmitter).listenerCount('afterHelp') === 0)
      child.addHelpText('after', `\nExamples: certcache ${command.name()} --help`)
    inherit(child)
  }
}

/**
 * Runs the command line and returns its exit code. Errors are printed as one sentence and one remedy.
 */
export async function runCertcache(
  program: Command,
  argv: readonly string[],
  runtime: CliRuntime,
): Promise<number> {
  try {
    await program.parseAsync(argv, { from: 'user' })
    return exitCodes.done
  } catch (error) {
    // Nagios interprets every exit code of `status`, even that of a mistyped option.
    const usage = argv.includes('status') ? nagiosCodes.unknown : exitCodes.usage
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : usage
    const known = error instanceof TtsError
    const message = error instanceof Error ? redactText(error.message) : 'unknown error'
    runtime.note(`certcache: ${known ? '' : 'unexpected: '}${message}`)
    if (known && error.remedy !== undefined) runtime.note(`  what to do: ${error.remedy}`)
    return argv.includes('status') ? nagiosCodes.unknown : exitCodeOf(error)
  }
}

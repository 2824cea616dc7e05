/** The command line as one tree of commands. */
import type { EventEmitter } from 'node:events'
import { Command, CommanderError } from 'commander'
import { CaError } from '../../ca/errors.ts'
import { TtsError } from '../base/errors.ts'
import { redactText } from '../base/redact.ts'
import { authzCommand } from './authz.ts'
import { caCommand } from './ca.ts'
import { checkCommand } from './check.ts'
import { auditCommand, credentialCommand } from './credential.ts'
import { delegationCommand } from './delegation.ts'
import { exitCodeOf, exitCodes } from './exit-codes.ts'
import { importWattsCommand } from './import-watts.ts'
import { masterKeyCommand } from './master-key.ts'
import { pluginCommand } from './plugin.ts'
import { proxyInfoCommand } from './proxy-info.ts'
import { proxyInitCommand } from './proxy-init.ts'
import { serveCommand } from './serve.ts'
import { sshCaCommand } from './ssh.ts'
import { type Terminal, withCore } from './terminal.ts'

/** The program; `version` is that of the package. */
export function createProgram(terminal: Terminal, version: string): Command {
  const program = new Command('tts')
    .description(
      'Token Translation Service: access tokens in, X.509 credentials for grid middleware out',
    )
    .version(version)
    .option(
      '-c, --config <FILE>',
      'configuration; else TTS_CONFIG, ./tts.yaml, /etc/tts/tts.yaml, else defaults',
    )
    .option('--json', 'for scripts, where a command has results')
    .showHelpAfterError('(run it with --help to see what it takes)')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.note(text.trimEnd()),
    })
  const proxy = new Command('proxy')
    .description('proxy files: make one from a token, look at one')
    .addCommand(proxyInitCommand(terminal))
    .addCommand(proxyInfoCommand(terminal))
    .addHelpText(
      'after',
      `
Examples:
  BEARER_TOKEN=$(oidc-token iam) tts proxy init --url https://tts.example.org
  tts proxy info --explain`,
    )
  for (const command of [
    serveCommand(terminal),
    checkCommand(terminal),
    caCommand(terminal),
    credentialCommand(terminal),
    delegationCommand(terminal),
    auditCommand(terminal),
    authzCommand(terminal),
    proxy,
    masterKeyCommand(terminal),
    importWattsCommand(terminal),
    pluginCommand(terminal),
    sshCaCommand(terminal, (options) =>
      withCore(terminal, options, ({ store, now }) => store.revokedSshSerials(now())),
    ),
  ]) {
    program.addCommand(command)
  }
  program.addHelpText(
    'after',
    `
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 token missing or refused,
4 something cannot be reached (try again), 5 not found, 6 a relying party would refuse the proxy.

A first look:  npm run demo
For a person:  tts proxy init --url https://tts.example.org && tts proxy info --explain`,
  )
  inherit(program)
  return program
}

/** Settings of the root that commander does not hand down to commands made on their own. */
function inherit(command: Command): void {
  command.exitOverride()
  for (const child of command.commands) {
    child.copyInheritedSettings(command)
    // A command without examples of its own says where there are some.
    if ((child as unknown as EventEmitter).listenerCount('afterHelp') === 0)
      child.addHelpText('after', `\nExamples: tts ${command.name()} --help`)
    inherit(child)
  }
}

/**
 * Runs the command line and answers its exit code. Errors become one sentence and one remedy.
 */
export async function runProgram(
  program: Command,
  argv: readonly string[],
  terminal: Terminal,
): Promise<number> {
  try {
    await program.parseAsync(argv, { from: 'user' })
    return exitCodes.done
  } catch (error) {
    if (error instanceof CommanderError)
      return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
    const known = error instanceof TtsError || error instanceof CaError
    const message = error instanceof Error ? redactText(error.message) : 'unknown error'
    terminal.note(`tts: ${known ? '' : 'unexpected: '}${message}`)
    const remedy = error instanceof TtsError ? error.remedy : undefined
    if (remedy !== undefined) terminal.note(`  what to do: ${remedy}`)
    return exitCodeOf(error)
  }
}

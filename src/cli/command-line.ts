/**
 * What the command lines of both programs share: settings of commands, exit codes, and the process that they run in.
 */
import type { EventEmitter } from 'node:events'
import { type Command, CommanderError } from 'commander'
import { CaError } from '../../ca/errors.ts'
import { TtsError } from '../base/errors.ts'
import { redactText } from '../base/redact.ts'
import { systemErrorCode } from '../base/system-error.ts'
import { fileError } from '../files/file-errors.ts'
import { exitCodeOf, exitCodes } from './exit-codes.ts'
import { translateGridFlags } from './grid-flags.ts'

/**
 * Copies the settings of the root to all subcommands, which commander does only for commands that it creates itself.
 */
export function inheritSettings(command: Command, root = command.name()): void {
  command.exitOverride()
  for (const child of command.commands) {
    child.copyInheritedSettings(command)
    // A command without examples refers to those of its parent.
    if ((child as unknown as EventEmitter).listenerCount('afterHelp') === 0)
      child.addHelpText('after', `\nExamples: ${root} ${command.name()} --help`)
    inheritSettings(child, root)
  }
}

/**
 * Runs a command line and returns its exit code. It prints an error as one message and one remedy.
 *
 * @param note prints a line to standard error
 */
export async function runCommandLine(
  program: Command,
  argv: readonly string[],
  note: (line: string) => void,
): Promise<number> {
  try {
    await program.parseAsync(translateGridFlags(argv), { from: 'user' })
    return exitCodes.done
  } catch (thrown) {
    if (thrown instanceof CommanderError)
      return thrown.exitCode === 0 ? exitCodes.done : exitCodes.usage
    const error = explainFileError(thrown)
    const isExpected = error instanceof TtsError || error instanceof CaError
    const message = error instanceof Error ? redactText(error.message) : 'unknown error'
    note(`${program.name()}: ${isExpected ? '' : 'unexpected error: '}${message}`)
    const remedy = error instanceof TtsError ? error.remedy : undefined
    if (remedy !== undefined) note(`  what to do: ${remedy}`)
    return exitCodeOf(error)
  }
}

/** Explains an error of the file system that no other code has explained. */
function explainFileError(error: unknown): unknown {
  const isOfFile = systemErrorCode(error) !== undefined && error instanceof Error && 'path' in error
  if (!isOfFile || typeof error.path !== 'string' || error.path === '') return error
  return fileError(`${error.path} cannot be used`, error)
}

/**
 * Prepares this process for a command line: new files are private unless they get their mode explicitly, and a reader
 * that closes a pipe early (`tts credential list | head`) is not an error.
 */
export function prepareProcess(): void {
  process.umask(0o077)
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', ({ code }: NodeJS.ErrnoException) => process.exit(code === 'EPIPE' ? 0 : 1))
}

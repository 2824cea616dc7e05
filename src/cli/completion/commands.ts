/** What a shell can propose for each command of a program, from what makes its `--help`. */
import type { Argument, Command, Option } from 'commander'

/** What is proposed for a value: one of these words, a file, a directory, or nothing. */
export type Proposed =
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'file' | 'directory' | 'nothing' }

export interface CompletedOption {
  readonly long: string
  readonly short: string | undefined
  readonly description: string
  /** Absent where the option takes no value. */
  readonly value?: Proposed & { readonly name: string }
}

export interface CompletedCommand {
  /** The words that name it, such as `tts proxy init`. */
  readonly words: readonly string[]
  readonly children: readonly { readonly name: string; readonly description: string }[]
  /** Its own options and those that all commands take. */
  readonly options: readonly CompletedOption[]
  readonly operand: (Proposed & { readonly name: string }) | undefined
}

/** The program and every command below it. */
export function completedCommands(program: Command): readonly CompletedCommand[] {
  return commandsBelow(program).map(({ words, command }) => ({
    words,
    children: command.commands.map((child) => ({
      name: child.name(),
      description: child.description(),
    })),
    options: optionsOf(command),
    operand: operandOf(command.registeredArguments[0]),
  }))
}

/** The commands that only lead to others, as `tts ca`. */
export function groupsOf(commands: readonly CompletedCommand[]): readonly string[] {
  return commands.filter(({ children }) => children.length > 0).map(({ words }) => words.join(' '))
}

/** A command and all below it, each with the words that name it. */
export function commandsBelow(
  command: Command,
  words: readonly string[] = [command.name()],
): readonly { readonly words: readonly string[]; readonly command: Command }[] {
  const below = command.commands.flatMap((child) => commandsBelow(child, [...words, child.name()]))
  return [{ words, command }, ...below]
}

function optionsOf(command: Command): readonly CompletedOption[] {
  const help = command.createHelp()
  return [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)].flatMap(
    (option) =>
      option.long == null
        ? []
        : [
            {
              long: option.long,
              short: option.short ?? undefined,
              description: option.description,
              ...valueOf(option),
            },
          ],
  )
}

/** The name that a value has in `--help` says whether it is a file. */
function valueOf({ required, flags, argChoices }: Option): Pick<CompletedOption, 'value'> {
  if (!required) return {}
  const name = /<([^>]+)>/.exec(flags)?.[1] ?? ''
  return { value: { name, ...proposedFor(argChoices, /DIR/.test(name), /^FILE$/.test(name)) } }
}

function operandOf(operand: Argument | undefined): CompletedCommand['operand'] {
  if (operand === undefined) return undefined
  const name = operand.name()
  return { name, ...proposedFor(operand.argChoices, name === 'directory', name === 'file') }
}

function proposedFor(
  words: readonly string[] | undefined,
  isDirectory: boolean,
  isFile: boolean,
): Proposed {
  if (words !== undefined) return { kind: 'words', words }
  if (isDirectory) return { kind: 'directory' }
  return { kind: isFile ? 'file' : 'nothing' }
}

/** Judges a command line by a program's own tree of commands. */
import type { Command, Option } from 'commander'

/** What stands for something else in documents: `ID`, `<FILE>`, `…`, a variable or a substitution. */
const PLACEHOLDER = /^(?:[A-Z][A-Z_|]*|<[^>]*>|.*…|\[.*|.*[$`].*)$/

/** Tells what is wrong with the words after a program's name, or undefined. */
export function commandProblem(
  program: Command,
  words: readonly string[],
  { isComplete }: { readonly isComplete: boolean },
): string | undefined {
  let command = program
  const operands: string[] = []
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? ''
    if (/^-./.test(word)) {
      const [name = '', value] = word.split(/=(.*)/s)
      const option = findOption(command, name)
      if (option === undefined) return `${pathOf(command)} has no option ${name}`
      if (!option.required) continue
      const given = value ?? words[(index += 1)]
      const problem = valueProblem(option, given, isComplete)
      if (problem !== undefined) return problem
    } else if (command.commands.length > 0 && !isPlaceholder(word)) {
      const names = word.split('|')
      const children = names.map((name) => command.commands.find((each) => each.name() === name))
      const unknown = names.find((_, position) => children[position] === undefined)
      if (unknown !== undefined) return `${pathOf(command)} has no command ${unknown}`
      command = children[0] ?? command
    } else operands.push(word)
  }
  return operandProblem(command, operands, isComplete)
}

const isPlaceholder = (word: string): boolean => PLACEHOLDER.test(word)

/** An option of a command, or of one that it belongs to. */
function findOption(command: Command, name: string): Option | undefined {
  const options = [...command.createHelp().visibleOptions(command), ...command.options]
  const found = options.find(({ short, long }) => name === short || name === long)
  return found ?? (command.parent ? findOption(command.parent, name) : undefined)
}

function valueProblem(
  { long, argChoices, mandatory }: Option,
  value: string | undefined,
  isComplete: boolean,
): string | undefined {
  if (value === undefined) return isComplete || mandatory ? `${long} needs a value` : undefined
  if (argChoices === undefined || isPlaceholder(value) || argChoices.includes(value))
    return undefined
  return `${long} must be one of ${argChoices.join(', ')}, not ${value}`
}

function operandProblem(
  command: Command,
  operands: readonly string[],
  isComplete: boolean,
): string | undefined {
  const { registeredArguments: accepted } = command
  const isVariadic = accepted.some(({ variadic }) => variadic)
  if (operands.length > accepted.length && !isVariadic && !operands.some(isPlaceholder))
    return `${pathOf(command)} does not take ${operands.slice(accepted.length).join(' ')}`
  const needed = accepted.filter(({ required }) => required).length
  if (!isComplete || operands.length >= needed) return undefined
  return `${pathOf(command)} needs ${accepted.map((argument) => argument.name()).join(' ')}`
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`
}

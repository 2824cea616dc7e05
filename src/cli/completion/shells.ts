/** The shells that a completion can be made for. */
import type { Command } from 'commander'
import { bashCompletion } from './bash.ts'
import { completedCommands } from './commands.ts'
import { fishCompletion } from './fish.ts'
import { zshCompletion } from './zsh.ts'

export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

const generators = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion }

/** Returns what makes a shell complete the commands, options and values of a program. */
export function completionFor(shell: Shell, program: Command): string {
  return generators[shell](program.name(), completedCommands(program))
}

/** The name that the shell expects of the file in its directory of completions. */
export function completionFileName(shell: Shell, program: string): string {
  return { bash: program, zsh: `_${program}`, fish: `${program}.fish` }[shell]
}

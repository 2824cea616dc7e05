/** `tts completion` and `certcache completion`. */
import { Argument, Command } from 'commander'
import { type Shell, completionFileName, completionFor, shells } from './shells.ts'

/** @param out prints to standard output */
export function completionCommand(
  program: 'tts' | 'certcache',
  out: (text: string) => void,
): Command {
  return new Command('completion')
    .description('print what makes a shell complete commands, options and values')
    .addArgument(new Argument('<shell>', 'which shell').choices(shells))
    .addHelpText(
      'after',
      `
The Debian packages install it already. To have it in each new shell, put the line for bash into ~/.bashrc; for zsh put
fpath=(~/.zsh $fpath) before compinit into ~/.zshrc.

Examples:
  source <(${program} completion bash)
  mkdir -p ~/.zsh && ${program} completion zsh > ~/.zsh/${completionFileName('zsh', program)}
  ${program} completion fish > ~/.config/fish/completions/${completionFileName('fish', program)}`,
    )
    .action((shell: Shell, _options, self: Command) => {
      out(completionFor(shell, rootOf(self)))
    })
}

function rootOf(command: Command): Command {
  return command.parent === null ? command : rootOf(command.parent)
}

/** Makes the completion of a program for fish: a file that starts no program. */
import { type CompletedCommand, type CompletedOption, type Proposed, groupsOf } from './commands.ts'

/** Returns the file, for a directory of `fish_complete_path` or to be sourced. */
export function fishCompletion(name: string, commands: readonly CompletedCommand[]): string {
  const line = completeLine(name)
  return `# fish completion for ${name}

# Whether the words so far lead to this command.
function __${name}_command_is
    set -l words (commandline -opc)
    set -e words[1]
    set -l command ${name}
    set -l is_value no
    for word in $words
        if test $is_value = yes
            set is_value no
            continue
        end
        switch "$command $word"
${commands.flatMap(transitions).join('\n')}
            case '*'
                string match -q -- '-*' $word; and continue
                # After a word that is no command nothing is proposed.
                contains -- $command ${groupsOf(commands).map(quoted).join(' ')}; and set command ''
        end
    end
    test "$command" = "$argv"
end

complete -c ${name} -f
${commands.flatMap((command) => linesOf(command, line)).join('\n')}
`
}

function transitions({ words, children, options }: CompletedCommand): readonly string[] {
  const path = words.join(' ')
  const taking = options
    .filter(({ value }) => value !== undefined)
    .flatMap(({ short, long }) => (short === undefined ? [long] : [short, long]))
  return [
    ...children.map(({ name }) => matching([`${path} ${name}`], `command '${path} ${name}'`)),
    ...(taking.length === 0
      ? []
      : [
          matching(
            taking.map((each) => `${path} ${each}`),
            'is_value yes',
          ),
        ]),
  ]
}

const matching = (texts: readonly string[], setting: string): string =>
  `            case ${texts.map(quoted).join(' ')}\n                set ${setting}`

type Line = (command: CompletedCommand, words: string) => string

const completeLine =
  (program: string): Line =>
  ({ words }, rest) =>
    `complete -c ${program} -n ${quoted(`__${program}_command_is ${words.join(' ')}`)} ${rest}`

function linesOf(command: CompletedCommand, line: Line): readonly string[] {
  const { children, options, operand } = command
  return [
    ...children.map(({ name, description }) =>
      line(command, `-a ${name} -d ${quoted(description)}`),
    ),
    ...options.map((option) => line(command, optionWords(option))),
    ...(operand === undefined || operand.kind === 'nothing'
      ? []
      : [line(command, proposing(operand, 'may'))]),
  ]
}

function optionWords({ short, long, description, value }: CompletedOption): string {
  const names = `${short === undefined ? '' : `-s ${short.slice(1)} `}-l ${long.slice(2)}`
  const takes = value === undefined ? '' : ` ${proposing(value, 'must')}`
  return `${names}${takes} -d ${quoted(description)}`
}

/** An option must have its value (-r); the line as a whole proposes no files (-f) unless one asks for them (-F). */
function proposing(proposed: Proposed, value: 'may' | 'must'): string {
  const required = value === 'must' ? '-r ' : ''
  switch (proposed.kind) {
    case 'words':
      return `${required}-f -a ${quoted(proposed.words.join(' '))}`
    case 'directory':
      return `${required}-f -a '(__fish_complete_directories)'`
    case 'file':
      return `${required}-F`
    case 'nothing':
      return `${required}-f`
  }
}

const quoted = (text: string): string => `'${text.replace(/['\\]/g, '\\$&')}'`

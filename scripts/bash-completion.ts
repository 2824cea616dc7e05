/** Makes the completion of a program for bash: a script that starts no program. */
import type { Command, Option } from 'commander'
import { commandsBelow } from './programs.ts'

/** What a shell proposes for a value, by the name that its option or operand has in `--help`. */
const FILES = /FILE|KEY|PATH|PROXY/i
const DIRECTORIES = /DIR/i

/** Returns the script. It works without the package bash-completion. */
export function bashCompletion(program: Command): string {
  const name = program.name()
  const rows = commandsBelow(program)
  return `# bash completion for ${name}
_${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} command=${name} option='' word names='' options='' files='' index
  COMPREPLY=()
  # bash takes --option=value apart: the = is a word.
  [[ $current == '=' ]] && current=''
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    if [[ $word == '=' ]]; then continue; fi
    if [[ $option ]]; then option=''; continue; fi
    case "$command $word" in
${rows.flatMap(({ words, command }) => transitions(words, command)).join('\n')}
    esac
  done
  case "$option" in
${rows.flatMap(({ words, command }) => values(words, command)).join('\n')}
    ?*) return ;;
  esac
  case "$command" in
${rows.map(({ words, command }) => proposals(words, command)).join('\n')}
  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif [[ $names ]]; then
    COMPREPLY=($(compgen -W "$names" -- "$current"))
  elif [[ $files ]]; then
    mapfile -t COMPREPLY < <(compgen -A "$files" -- "$current")
    compopt -o filenames 2> /dev/null
  fi
}
complete -F _${name} ${name}
`
}

/** How the words so far lead to a command, and which options take the next word. */
function transitions(words: readonly string[], command: Command): readonly string[] {
  const path = words.join(' ')
  const children = command.commands.map(
    (child) => `      '${path} ${child.name()}') command='${path} ${child.name()}' ;;`,
  )
  const taking = optionsOf(command)
    .filter(({ required }) => required)
    .flatMap(namesOf)
  const option = taking.map((each) => `'${path} ${each}'`).join(' | ')
  return option === '' ? children : [...children, `      ${option}) option="$command $word" ;;`]
}

/** What is proposed as the value of an option. */
function values(words: readonly string[], command: Command): readonly string[] {
  return optionsOf(command).flatMap((option) => {
    const action = valueAction(option)
    if (!option.required || action === undefined) return []
    const patterns = namesOf(option).map((each) => `'${[...words, each].join(' ')}'`)
    return [`    ${patterns.join(' | ')}) ${action} ;;`]
  })
}

function valueAction({ argChoices, flags }: Option): string | undefined {
  const value = /<([^>]+)>/.exec(flags)?.[1] ?? ''
  if (argChoices) return `names='${argChoices.join(' ')}' options='' command=''`
  if (DIRECTORIES.test(value)) return `files=directory command=''`
  return FILES.test(value) ? `files=file command=''` : undefined
}

function proposals(words: readonly string[], command: Command): string {
  const names = command.commands.map((child) => child.name()).join(' ')
  const options = optionsOf(command).flatMap(({ long }) => long ?? [])
  const [operand] = command.registeredArguments
  const kind = operand && DIRECTORIES.test(operand.name()) ? 'directory' : 'file'
  const takesFile = operand !== undefined && /file|dir|anchors|chain|csr/i.test(operand.name())
  const files = takesFile ? ` files=${kind}` : ''
  return `    '${words.join(' ')}') names='${names}' options='${options.join(' ')}'${files} ;;`
}

function optionsOf(command: Command): readonly Option[] {
  const help = command.createHelp()
  return [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)]
}

const namesOf = ({ short, long }: Option): readonly string[] =>
  [short, long].filter((each) => each !== undefined)

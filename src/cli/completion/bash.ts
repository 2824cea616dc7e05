/** Makes the completion of a program for bash: a script that starts no program. */
import { type CompletedCommand, type CompletedOption, type Proposed, groupsOf } from './commands.ts'

/** Returns the script. It works without the package bash-completion. */
export function bashCompletion(name: string, commands: readonly CompletedCommand[]): string {
  // After a word that is no command nothing is proposed.
  const groups = groupsOf(commands).map((path) => `'${path}'`)
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
${commands.flatMap(transitions).join('\n')}
      *) [[ $word == -* ]] || case "$command" in ${groups.join(' | ')}) command='' ;; esac ;;
    esac
  done
  case "$option" in
${commands.flatMap(values).join('\n')}
    ?*) return ;;
  esac
  case "$command" in
${commands.map(proposals).join('\n')}
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
function transitions({ words, children, options }: CompletedCommand): readonly string[] {
  const path = words.join(' ')
  const toChildren = children.map(
    ({ name }) => `      '${path} ${name}') command='${path} ${name}' ;;`,
  )
  const taking = options.filter(({ value }) => value !== undefined).flatMap(namesOf)
  const option = taking.map((each) => `'${path} ${each}'`).join(' | ')
  return option === '' ? toChildren : [...toChildren, `      ${option}) option="$command $word" ;;`]
}

/** What is proposed as the value of an option. */
function values({ words, options }: CompletedCommand): readonly string[] {
  return options.flatMap((option) => {
    if (option.value === undefined || option.value.kind === 'nothing') return []
    const patterns = namesOf(option).map((each) => `'${[...words, each].join(' ')}'`)
    return [`    ${patterns.join(' | ')})${assignments(option.value)} command='' ;;`]
  })
}

function proposals({ words, children, options, operand }: CompletedCommand): string {
  const names = children.map(({ name }) => name).join(' ')
  const forOperand = operand === undefined ? '' : assignments(operand)
  const all = options.map(({ long }) => long).join(' ')
  return `    '${words.join(' ')}') names='${names}' options='${all}'${forOperand} ;;`
}

function assignments(proposed: Proposed): string {
  if (proposed.kind === 'nothing') return ''
  return proposed.kind === 'words'
    ? ` names='${proposed.words.join(' ')}'`
    : ` files=${proposed.kind}`
}

const namesOf = ({ short, long }: CompletedOption): readonly string[] =>
  short === undefined ? [long] : [short, long]

/** Makes the completion of a program for zsh: functions for its completion system that start no program. */
import type { CompletedCommand, CompletedOption, Proposed } from './commands.ts'

/**
 * Returns the file. As `_NAME` in a directory of `fpath` it is loaded at the first completion; sourced, it registers
 * itself.
 */
export function zshCompletion(name: string, commands: readonly CompletedCommand[]): string {
  return `#compdef ${name}
# zsh completion for ${name}

${commands.map(functionOf).join('\n\n')}

if [[ $funcstack[1] == _${name} ]]; then
  _${name} "$@"
else
  compdef _${name} ${name}
fi
`
}

const functionName = (words: readonly string[]): string => `_${words.join('-')}`

function functionOf(command: CompletedCommand): string {
  return command.children.length === 0 ? leafOf(command) : groupOf(command)
}

function leafOf({ words, options, operand }: CompletedCommand): string {
  const specs = [
    ...options.map(specificationOf),
    ...(operand === undefined ? [] : [quoted(`1:${operand.name}:${actionOf(operand)}`)]),
  ]
  return `${functionName(words)}() {
${argumentsCall(specs)}
}`
}

/** The words from the name of a subcommand on are those of its function, options too (-A). */
function groupOf({ words, children, options }: CompletedCommand): string {
  const specs = [...options.map(specificationOf), "'1: :->command'", "'*::: :->words'"]
  const names = children.map(({ name, description }) => `      ${quoted(`${name}:${description}`)}`)
  const calls = children.map(({ name }) => `      ${name}) ${functionName([...words, name])} ;;`)
  return `${functionName(words)}() {
  local curcontext=$curcontext state
  local -a line names
  local -A opt_args
${argumentsCall(specs, "-C -A '-*' ")} && return
  case $state in
  command)
    names=(
${names.join('\n')}
    )
    _describe -t commands command names
    ;;
  words)
    words=($line[1] "\${words[@]}")
    (( CURRENT++ ))
    case $line[1] in
${calls.join('\n')}
    esac
    ;;
  esac
}`
}

const argumentsCall = (specs: readonly string[], flags = ''): string =>
  `  _arguments ${flags}\\\n${specs.map((spec) => `    ${spec}`).join(' \\\n')}`

/** `*` because some options may be repeated; `=` and `+` because a value may be in the same word. */
function specificationOf({ short, long, description, value }: CompletedOption): string {
  const text = `[${description.replace(/[[\]\\]/g, '\\$&')}]`
  const action = value === undefined ? '' : `:${value.name}:${actionOf(value)}`
  const names = [
    ...(short === undefined ? [] : [value === undefined ? short : `${short}+`]),
    value === undefined ? long : `${long}=`,
  ]
  return names.length === 1
    ? quoted(`*${names.join('')}${text}${action}`)
    : `'*'{${names.join(',')}}${quoted(`${text}${action}`)}`
}

function actionOf(proposed: Proposed): string {
  if (proposed.kind === 'words') return `(${proposed.words.join(' ')})`
  if (proposed.kind === 'nothing') return ' '
  return proposed.kind === 'file' ? '_files' : '_files -/'
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

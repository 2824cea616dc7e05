/** Makes a man page of a command, from what makes its `--help`. */
import type { Command } from 'commander'

export interface ManPageRequest {
  readonly command: Command
  /** The words that name it, such as `tts proxy init`. */
  readonly words: readonly string[]
  readonly version: string
  /** Date of the page, as `2026-11-28`. */
  readonly date: string
  /** What `--help` prints after the options: notes, exit codes and examples. */
  readonly afterHelp: string
}

/** The page in the macros of man(7). */
export function manPage({ command, words, version, date, afterHelp }: ManPageRequest): string {
  const name = words.join('-')
  // A command without examples of its own only says where there are some.
  const [notes = '', examples = ''] = afterHelp
    .replace(/^Examples: .*$/m, '')
    .split(/^Examples:\n/m)
  const lines = [
    `.TH ${name.toUpperCase()} 1 "${date}" "Token Translation Service ${version}" "Token Translation Service"`,
    '.SH NAME',
    `${escaped(name)} \\- ${escaped(oneLine(command.description()))}`,
    '.SH SYNOPSIS',
    `.B ${escaped(words.join(' '))}`,
    escaped(command.usage()),
    ...section('DESCRIPTION', paragraphs(notes)),
    ...section('COMMANDS', terms(commandsOf(command, name))),
    ...section('OPTIONS', terms(optionsOf(command))),
    ...section('EXAMPLES', examples.trim() === '' ? [] : ['.nf', ...verbatim(examples), '.fi']),
    ...section('SEE ALSO', seeAlso(command, words)),
  ]
  return `${lines.join('\n')}\n`
}

type Term = readonly [term: string, description: string]

function commandsOf(command: Command, name: string): readonly Term[] {
  return command.commands.map((child) => [`${name}-${child.name()}(1)`, child.description()])
}

function optionsOf(command: Command): readonly Term[] {
  const help = command.createHelp()
  const options = [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)]
  return options.map((option) => [option.flags, help.optionDescription(option)])
}

function seeAlso(command: Command, words: readonly string[]): readonly string[] {
  const above = words.length > 1 ? [`${words.slice(0, -1).join('-')}(1)`] : []
  const other = words[0] === 'tts' ? 'certcache(1)' : 'tts(1)'
  const siblings = command.parent?.commands.filter((each) => each !== command) ?? []
  const names = siblings.map((each) => `${[...words.slice(0, -1), each.name()].join('-')}(1)`)
  const all = words.length > 2 ? [...above, ...names] : [...above, other]
  return filled(all.join(', '))
}

const section = (heading: string, lines: readonly string[]): readonly string[] =>
  lines.length === 0 ? [] : [`.SH ${heading}`, ...lines]

const terms = (list: readonly Term[]): readonly string[] =>
  list.flatMap(([term, description]) => ['.TP', `.B ${escaped(term)}`, ...filled(description)])

/** Paragraphs are filled; indented lines stay as they are. */
function paragraphs(text: string): readonly string[] {
  const blocks = text
    .trim()
    .split(/\n{2,}/)
    .filter((block) => block !== '')
  return blocks.flatMap((block, index) => {
    const lines = block.split('\n')
    const isTable = lines.some((line) => line.startsWith('  '))
    const body = isTable ? ['.nf', ...verbatim(block), '.fi'] : filled(block)
    return index === 0 ? body : ['.PP', ...body]
  })
}

const verbatim = (text: string): readonly string[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => escaped(line.replace(/^ {2}/, '')))

/** A text that roff fills, in lines as short as its authors ask for. */
function filled(text: string): readonly string[] {
  const lines: string[] = []
  for (const word of oneLine(text).split(' ').map(escaped)) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + word.length < 79) lines.splice(-1, 1, `${last} ${word}`)
    else lines.push(word)
  }
  return lines
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim()

/** A text that roff prints as it is: no escapes, no requests at the beginning of a line, hyphens that can be copied. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('`', '\\(ga')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll("'", '\\(aq')
    .replaceAll(
      /[^\0-\x7f]/gu,
      (character) =>
        `\\[u${character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')}]`,
    )
    .replace(/^(?=\.)/, '\\&')
}

/** Parses the lines of a watts.conf, `key = value`, like the parser of WaTTS (cuttlefish). */

/** One setting. */
export interface ConfSetting {
  readonly line: number
  /** The key as written, its dots and escaped dots (`\.`). */
  readonly key: string
  /** The key's parts, escaped dots resolved. */
  readonly words: readonly string[]
  readonly value: string
  /** True if a # without a space before it ended the value, as in WaTTS. */
  readonly cut: boolean
}

/** A line that WaTTS would not have understood. */
export interface ConfProblem {
  readonly line: number
  readonly problem: string
  /** The line itself. It may contain a secret. */
  readonly content: string
}

/** The content of a file, in its order. */
export interface ConfLines {
  readonly settings: readonly ConfSetting[]
  readonly problems: readonly ConfProblem[]
}

/** Parses all lines, and reports every line that it cannot parse. Never throws. */
export function parseConf(text: string): ConfLines {
  const settings: ConfSetting[] = []
  const problems: ConfProblem[] = []
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  for (const [index, content] of lines.entries()) {
    const line = index + 1
    const parsed = parseLine(content)
    if (parsed === undefined) continue
    if (typeof parsed === 'string') problems.push({ line, problem: parsed, content })
    else settings.push({ line, ...parsed })
  }
  return { settings, problems }
}

/** Joins the parts of a key. */
export function formatKey(words: readonly string[]): string {
  return words.map((word) => word.replaceAll('.', '\\.')).join('.')
}

const isBlankOrComment = (content: string): boolean => /^[ \t]*(#|$)/.test(content)

/** Returns a setting, undefined for a blank line or comment, or a description of the problem. */
function parseLine(content: string): Omit<ConfSetting, 'line'> | string | undefined {
  if (isBlankOrComment(content)) return undefined
  const equals = content.indexOf('=')
  if (equals < 0)
    return /^[ \t]*include[ \t]/.test(content)
      ? 'include is not supported: copy the lines of that file here'
      : 'the line has no ='
  const key = trimBlanks(content.slice(0, equals))
  const words = splitKey(key)
  if (words === undefined)
    return 'the key must consist of words of letters, digits, _ and -, separated by dots'
  const rest = content.slice(equals + 1)
  // There are no quotes and no escapes: a # starts a comment anywhere.
  const hash = rest.indexOf('#')
  const value = trimBlanks(hash < 0 ? rest : rest.slice(0, hash))
  if (value === '') return `${formatKey(words)} has no value`
  if (value.startsWith('$(<'))
    return `${formatKey(words)} refers to a file: write its content as the value`
  if (hasControl(value)) return `the value of ${formatKey(words)} contains control characters`
  return {
    key: formatKey(words),
    words,
    value,
    cut: hash > 0 && !/[ \t]/.test(rest[hash - 1] ?? ''),
  }
}

function splitKey(key: string): readonly string[] | undefined {
  if (key.length > 1024 || !/^(?:\\\.|[A-Za-z0-9_-])+(?:\.(?:\\\.|[A-Za-z0-9_-])+)*$/.test(key))
    return undefined
  return key.split(/(?<!\\)\./).map((word) => word.replaceAll('\\.', '.'))
}

const hasControl = (value: string): boolean =>
  /[\p{Cc}\p{Zl}\p{Zp}]/u.test(value.replaceAll('\t', ' '))

/** Removes spaces and tabs at both ends, in linear time. */
function trimBlanks(text: string): string {
  let from = 0
  let to = text.length
  while (from < to && isBlank(text[from])) from += 1
  while (to > from && isBlank(text[to - 1])) to -= 1
  return text.slice(from, to)
}

const isBlank = (character: string | undefined): boolean => character === ' ' || character === '\t'

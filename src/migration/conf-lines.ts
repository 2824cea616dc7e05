/** The lines of a watts.conf: `key = value`, as WaTTS's own reader (cuttlefish) took them. */

/** One setting. */
export interface ConfSetting {
  readonly line: number
  /** The key as written, its dots and escaped dots (`\.`). */
  readonly key: string
  /** The key's parts, escaped dots resolved. */
  readonly words: readonly string[]
  readonly value: string
  /** True: a # without a blank before it ended the value, as it did in WaTTS. */
  readonly cut: boolean
}

/** A line that says nothing that WaTTS would have understood. */
export interface ConfProblem {
  readonly line: number
  readonly problem: string
  /** The line, which holds no setting that could be read; it may hold a secret. */
  readonly content: string
}

/** What a file says, in its order. */
export interface ConfLines {
  readonly settings: readonly ConfSetting[]
  readonly problems: readonly ConfProblem[]
}

/** Reads all lines; none is passed over in silence. Never throws. */
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

/** A key's parts, made into a key again. */
export function formatKey(words: readonly string[]): string {
  return words.map((word) => word.replaceAll('.', '\\.')).join('.')
}

const isBlankOrComment = (content: string): boolean => /^[ \t]*(#|$)/.test(content)

/** A setting, undefined for nothing at all, or what is wrong. */
function parseLine(content: string): Omit<ConfSetting, 'line'> | string | undefined {
  if (isBlankOrComment(content)) return undefined
  const equals = content.indexOf('=')
  if (equals < 0)
    return /^[ \t]*include[ \t]/.test(content)
      ? 'include is not followed: put the lines of that file here'
      : 'no = in the line'
  const key = trimBlanks(content.slice(0, equals))
  const words = splitKey(key)
  if (words === undefined)
    return 'the key is not made of words of letters, digits, _ and - with dots between'
  const rest = content.slice(equals + 1)
  // No quotes, no escapes: a # begins a comment wherever it stands.
  const hash = rest.indexOf('#')
  const value = trimBlanks(hash < 0 ? rest : rest.slice(0, hash))
  if (value === '') return `${formatKey(words)} has no value`
  if (value.startsWith('$(<'))
    return `${formatKey(words)} is said to be in a file: put the value here`
  if (hasControl(value)) return `${formatKey(words)} has a value with control characters`
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

/** Blanks and tabs only, in linear time. */
function trimBlanks(text: string): string {
  let from = 0
  let to = text.length
  while (from < to && isBlank(text[from])) from += 1
  while (to > from && isBlank(text[to - 1])) to -= 1
  return text.slice(from, to)
}

const isBlank = (character: string | undefined): boolean => character === ' ' || character === '\t'

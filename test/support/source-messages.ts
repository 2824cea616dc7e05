/** Finds the texts of errors, log lines and remedies in source code, so that a test can judge how they are written. */

/** A literal of the source; `text` as written, interpolations included, without its quotes. */
export interface SourceMessage {
  readonly line: number
  readonly text: string
}

/** Constructors whose second argument is the message, after the code. */
const CODED_ERRORS = /\bnew (?:Tts|Ca|Plugin)Error\(/g

/** Constructors whose first argument is the message. */
const PLAIN_ERRORS = /\bnew (?:Command|Answer|QueueFull|Range|Type)?Error\(/g

const LOG_CALLS = /\blog\??\.(?:trace|debug|info|warn|error|fatal)\(/g

/** A function that makes or throws an error: its name and its parameters. */
const HELPERS =
  /\b(?:function (\w+)|const (\w+) = )\(((?:[^()]|\([^()]*\))*)\): (?:(?:Tts|Ca|Plugin)Error|never)\b/g

/** The messages of errors and log lines in a TypeScript source. */
export function messagesIn(source: string): readonly SourceMessage[] {
  const calls: SourceMessage[] = []
  const add = (pattern: RegExp, pick: (parts: readonly Part[]) => Part | undefined): void => {
    for (const match of source.matchAll(pattern)) {
      const part = pick(splitArguments(source, match.index + match[0].length))
      if (part !== undefined) calls.push(...literalsOf(source, part))
    }
  }
  add(CODED_ERRORS, (parts) => parts[1])
  add(PLAIN_ERRORS, (parts) => parts[0])
  add(LOG_CALLS, (parts) => parts.find(({ text }) => !text.startsWith('{') && /['"`]/.test(text)))
  for (const [, declared, assigned, parameters = ''] of source.matchAll(HELPERS)) {
    const index = splitArguments(`${parameters})`, 0).findIndex(({ text }) =>
      /^message\??:/.test(text),
    )
    if (index >= 0)
      add(new RegExp(`(?<!function )\\b${declared ?? assigned}\\(`, 'g'), (parts) => parts[index])
  }
  return calls
}

/** The remedies of errors in a TypeScript source. */
export function remediesIn(source: string): readonly SourceMessage[] {
  return [...source.matchAll(/\bremedy: */g)].flatMap((match) => {
    const [part] = splitArguments(source, match.index + match[0].length)
    return part === undefined ? [] : literalsOf(source, part)
  })
}

interface Part {
  readonly start: number
  readonly text: string
}

/** Splits a list at its commas, from `start` to the bracket that closes it. */
function splitArguments(source: string, start: number): readonly Part[] {
  const parts: Part[] = []
  let depth = 0
  let from = start
  const finish = (end: number): void => {
    const raw = source.slice(from, end)
    const text = raw.trim()
    if (text !== '') parts.push({ start: from + raw.length - raw.trimStart().length, text })
    from = end + 1
  }
  for (let at = start; at < source.length; at = tokenEnd(source, at)) {
    const character = source.charAt(at)
    if ('([{'.includes(character)) depth += 1
    if (')]}'.includes(character) && depth-- === 0) {
      finish(at)
      return parts
    }
    if (character === ',' && depth === 0) finish(at)
  }
  return parts
}

/** The literals that an expression can have as its value: the expression itself, or the branches of a conditional. */
function literalsOf(source: string, { start, text }: Part): readonly SourceMessage[] {
  const found: SourceMessage[] = []
  let before = ''
  let depth = 0
  for (let at = 0; at < text.length; at = tokenEnd(text, at)) {
    const character = text.charAt(at)
    if ('([{'.includes(character)) depth += 1
    if (')]}'.includes(character)) depth -= 1
    if (isQuote(character) && depth === 0 && /^$|[?:]$/.test(before))
      found.push({
        line: source.slice(0, start + at).split('\n').length,
        text: text.slice(at + 1, tokenEnd(text, at) - 1),
      })
    const token = text.slice(at, tokenEnd(text, at))
    if (token.trim() !== '' && !token.startsWith('//')) before = token
  }
  return found
}

/** Where the string, template, comment or character at an index ends. */
function tokenEnd(source: string, at: number): number {
  if (source.startsWith('//', at)) return lineEnd(source, at)
  const quote = source.charAt(at)
  if (!isQuote(quote)) return at + 1
  let end = at + 1
  while (end < source.length && source.charAt(end) !== quote) {
    if (source.charAt(end) === '\\') end += 2
    else if (quote === '`' && source.startsWith('${', end)) end = interpolationEnd(source, end + 2)
    else end += 1
  }
  return end + 1
}

function interpolationEnd(source: string, start: number): number {
  let depth = 0
  for (let at = start; at < source.length; at = tokenEnd(source, at)) {
    if (source.charAt(at) === '{') depth += 1
    if (source.charAt(at) === '}' && depth-- === 0) return at + 1
  }
  return source.length
}

function lineEnd(source: string, at: number): number {
  const end = source.indexOf('\n', at)
  return end < 0 ? source.length : end
}

function isQuote(character: string): boolean {
  return character === "'" || character === '"' || character === '`'
}

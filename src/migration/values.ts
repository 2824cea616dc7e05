/** Parses values of a watts.conf. */

const millisecondsIn: Readonly<Record<string, number>> = {
  f: 1_209_600_000,
  w: 604_800_000,
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
}

/**
 * Parses durations such as `15m`, `1h30m`, `.5s` and `500ms`, and returns milliseconds; undefined for other text.
 * `min` is accepted for `m`.
 */
export function durationMs(text: string): number | undefined {
  const lower = text.toLowerCase().replaceAll('min', 'm')
  if (lower.length > 100 || !/^(?:(?:\d+\.\d+|\.\d+|\d+)(?:ms|[fwdhms]))+$/.test(lower))
    return undefined
  const parts = [...lower.matchAll(/([\d.]+)(ms|[fwdhms])/g)]
  const sum = parts.reduce((total, [, amount, unit]) => {
    return total + Number(amount) * (millisecondsIn[unit ?? ''] ?? Number.NaN)
  }, 0)
  const whole = Math.ceil(sum)
  return Number.isSafeInteger(whole) ? whole : undefined
}

/** A command line as words, or the reason why it needs a shell. */
export type CommandWords = { readonly words: readonly string[] } | { readonly needsShell: string }

/** Characters that a shell interprets outside quotes, with their names. */
const shellSyntax: readonly (readonly [RegExp, string])[] = [
  [/[|]/, 'a pipe'],
  [/[$`]/, 'a variable or command substitution'],
  [/[;&]/, 'several commands'],
  [/[<>]/, 'a redirection'],
  [/[*?[\]]/, 'a pattern of file names'],
  [/[{}()!]/, 'brackets'],
  [/~/, 'a home directory (~)'],
]

/**
 * Splits a command line like a shell, if it has only plain and quoted words. It expands nothing, and reports the name
 * of any syntax that needs a shell.
 */
export function splitCommand(line: string): CommandWords {
  const words: string[] = []
  let word: string | undefined
  // Each token is a quoted part, an escaped character, a blank, or a run of other characters.
  const token = /'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|\\([\s\S])|([ \t]+)|([^ \t'"\\]+)|([\s\S])/gy
  for (const [, single, double, escaped, blank, plain, stray] of line.matchAll(token)) {
    if (stray !== undefined) return { needsShell: 'an unclosed quote' }
    if (blank !== undefined) {
      if (word !== undefined) words.push(word)
      word = undefined
      continue
    }
    const syntax = plain === undefined ? findShellSyntax(double, /[$`]/) : findShellSyntax(plain)
    if (syntax !== undefined) return { needsShell: syntax }
    word = `${word ?? ''}${single ?? unescaped(double) ?? escaped ?? plain ?? ''}`
  }
  if (word !== undefined) words.push(word)
  const [first = ''] = words
  if (first === '') return { needsShell: 'no command' }
  if (/^\w+=/.test(first)) return { needsShell: 'a variable set before the command' }
  return { words }
}

function findShellSyntax(text: string | undefined, only?: RegExp): string | undefined {
  if (text === undefined) return undefined
  const found = shellSyntax.find(([sign]) =>
    sign.test(only === undefined ? text : text.replace(/[^$`]/g, '')),
  )
  return found?.[1]
}

/** Inside double quotes, a backslash escapes only these characters. */
const unescaped = (text: string | undefined): string | undefined =>
  text?.replace(/\\(["\\$`])/g, '$1')

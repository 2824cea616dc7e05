/** Values of a watts.conf in units of ours. */

const millisecondsIn: Readonly<Record<string, number>> = {
  f: 1_209_600_000,
  w: 604_800_000,
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
}

/** `15m`, `1h30m`, `.5s`, `500ms` in milliseconds; undefined for anything else. A minute is `m`, also written `min` here. */
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

/** A command line as words, or why it cannot be one without a shell. */
export type CommandWords = { readonly words: readonly string[] } | { readonly needsShell: string }

/** What a shell would act upon outside of quotes, and what to call it. */
const shellSigns: readonly (readonly [RegExp, string])[] = [
  [/[|]/, 'a pipe'],
  [/[$`]/, 'a variable or a command in its place'],
  [/[;&]/, 'several commands'],
  [/[<>]/, 'a redirection'],
  [/[*?[\]]/, 'a pattern of file names'],
  [/[{}()!]/, 'brackets'],
  [/~/, 'a home directory (~)'],
]

/**
 * Splits a command line as a shell would as long as it holds plain and quoted words only: nothing is expanded, and what would
 * need a shell is refused by name.
 */
export function splitCommand(line: string): CommandWords {
  const words: string[] = []
  let word: string | undefined
  // One token each: a quoted part, an escaped character, a blank, or a run of anything else.
  const token = /'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|\\([\s\S])|([ \t]+)|([^ \t'"\\]+)|([\s\S])/gy
  for (const [, single, double, escaped, blank, plain, stray] of line.matchAll(token)) {
    if (stray !== undefined) return { needsShell: 'a quote that is not closed' }
    if (blank !== undefined) {
      if (word !== undefined) words.push(word)
      word = undefined
      continue
    }
    const trouble = plain === undefined ? signOf(double, /[$`]/) : signOf(plain)
    if (trouble !== undefined) return { needsShell: trouble }
    word = `${word ?? ''}${single ?? unescaped(double) ?? escaped ?? plain ?? ''}`
  }
  if (word !== undefined) words.push(word)
  const [first = ''] = words
  if (first === '') return { needsShell: 'no command' }
  if (/^\w+=/.test(first)) return { needsShell: 'a variable set before the command' }
  return { words }
}

function signOf(text: string | undefined, only?: RegExp): string | undefined {
  if (text === undefined) return undefined
  const found = shellSigns.find(([sign]) =>
    sign.test(only === undefined ? text : text.replace(/[^$`]/g, '')),
  )
  return found?.[1]
}

/** Inside double quotes a backslash is one, but before these. */
const unescaped = (text: string | undefined): string | undefined =>
  text?.replace(/\\(["\\$`])/g, '$1')

/**
 * Converts regular expressions of WaTTS (PCRE, on bytes) to those of rules: JavaScript with the flag `u`, in linear
 * time.
 */
import { compileRegexp } from '../regexp/linear-regexp.ts'

/** The expression, or the reason why it cannot be converted. */
export type CarriedRegexp = { readonly source: string } | { readonly problem: string }

/**
 * Converts an expression whose meaning is the same in both. It rewrites anchors that JavaScript spells differently,
 * and removes needless backslashes. With the flag `u`, JavaScript refuses unknown syntax instead of misreading it;
 * known differences are refused here by name.
 */
export function regexpFromPcre(pcre: string): CarriedRegexp {
  const source = pcre.replace(
    /\\([\s\S])/g,
    (whole, character: string) => respelt[character] ?? unescapeLiteral(whole, character),
  )
  const different = differing.find(([pattern]) => pattern.test(pcre))
  if (different !== undefined) return { problem: different[1] }
  const compiled = compileRegexp(source)
  return 'problem' in compiled ? compiled : { source }
}

const respelt: Readonly<Record<string, string>> = { A: '^', z: '$', Z: '$' }

/**
 * Removes the backslash of `\-`, `\@`, `\_` …, which the flag `u` does not allow. A hyphen becomes `\x2d`, because it
 * may be in a class.
 */
function unescapeLiteral(whole: string, character: string): string {
  if (character === '-') return '\\x2d'
  return /[^A-Za-z0-9^$\\.*+?()[\]{}|/]/.test(character) ? character : whole
}

/** Syntax that both accept, with different meanings. */
const differing: readonly (readonly [RegExp, string])[] = [
  [/\\v/, '\\v is any vertical space in WaTTS, but a single character here'],
  [/\\u/, '\\u is an error in WaTTS, but starts a character escape here'],
  [/\[\^?\]/, 'a ] right after [ or [^ is a member of the class in WaTTS, but ends it here'],
  [/\[\[[:.=]/, 'classes such as [[:alpha:]] are not supported'],
  [/[^\x20-\x7e]/, 'WaTTS matched bytes, which differs for characters outside ASCII'],
]

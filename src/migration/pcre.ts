/** Regular expressions of WaTTS (PCRE, on bytes) as those that rules take here: of JavaScript with the flag `u`, in linear time. */
import { compileRegexp } from '../regexp/linear-regexp.ts'

/** The expression, or why it cannot be carried over. */
export type CarriedRegexp = { readonly source: string } | { readonly problem: string }

/**
 * Carries over what both understand alike. Anchors that JavaScript spells otherwise are respelt, needless backslashes dropped.
 * With the flag `u` JavaScript refuses, rather than misreads, what it does not know, so the rest is refused here by name.
 */
export function regexpFromPcre(pcre: string): CarriedRegexp {
  const source = pcre.replace(
    /\\([\s\S])/g,
    (whole, character: string) => respelt[character] ?? plainly(whole, character),
  )
  const different = differing.find(([pattern]) => pattern.test(pcre))
  if (different !== undefined) return { problem: different[1] }
  const compiled = compileRegexp(source)
  return 'problem' in compiled ? compiled : { source }
}

const respelt: Readonly<Record<string, string>> = { A: '^', z: '$', Z: '$' }

/** `\-`, `\@`, `\_` … mean the character itself; with the flag `u` they must be written so. A hyphen may stand in a class. */
function plainly(whole: string, character: string): string {
  if (character === '-') return '\\x2d'
  return /[^A-Za-z0-9^$\\.*+?()[\]{}|/]/.test(character) ? character : whole
}

/** What both take, but not for the same. */
const differing: readonly (readonly [RegExp, string])[] = [
  [/\\v/, '\\v is any vertical space there, and one character here'],
  [/\\u/, '\\u is an error there, and begins a character here'],
  [/\[\^?\]/, 'a ] right after [ or [^ is a member of the class there, and its end here'],
  [/\[\[[:.=]/, 'classes such as [[:alpha:]] are not known'],
  [/[^\x20-\x7e]/, 'it was matched on bytes there, which differs beyond ASCII'],
]

/** Reads signing_policy files as caNl for Java does: stricter than Globus in some points, and laxer in others. */
import type { SigningPolicy } from './signing-policy.ts'

interface Entry {
  readonly authority: string
  readonly patterns: readonly string[]
}

/** Undefined: caNl refuses the file, and ignores it. */
function readEntries(text: string): readonly Entry[] | undefined {
  // Comments are whole lines; behind a directive there must be nothing.
  const lines = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  const entries: Entry[] = []
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? ''
    if (!line.startsWith('access_id_CA')) continue
    const authority = readValue(/^access_id_CA\s+X509\s+(.*)$/.exec(line)?.[1])
    const maySign = /^pos_rights\s+globus\s+CA:sign$/.test(lines[index + 1] ?? '')
    const condition = /^cond_subjects\s+globus\s+(.*)$/.exec(lines[index + 2] ?? '')
    const subjects = readValue(condition?.[1])
    if (authority === undefined || !maySign || subjects === undefined) return undefined
    entries.push({ authority, patterns: readPatterns(subjects) })
    index += 2
  }
  return entries
}

/** The text in single quotes, or everything when there are none. */
function readValue(value: string | undefined): string | undefined {
  if (!value?.startsWith("'")) return value
  const quoted = /^'((?:[^'\\]|\\.)*)'$/.exec(value)?.[1]
  return quoted?.replaceAll(/\\(.)/g, '$1')
}

function readPatterns(subjects: string): readonly string[] {
  const quoted = [...subjects.matchAll(/"([^"]*)"/g)].map((match) => match[1] ?? '')
  return quoted.length > 0 ? quoted : [subjects]
}

/**
 * Returns whether caNl lets the CA sign a name; undefined when the file has no entry for this CA that caNl can read.
 * `*` and `?` may stand anywhere.
 */
export function canlPermits(
  { text }: SigningPolicy,
  authority: string,
  subject: string,
): boolean | undefined {
  const own = readEntries(text)?.filter((entry) => plain(entry.authority) === plain(authority))
  if (own === undefined || own.length === 0) return undefined
  return own.some(({ patterns }) =>
    patterns.some((pattern) => matchesWildcards(plain(pattern), plain(subject))),
  )
}

/** caNl compares without letter case, and knows no backslash in names. */
const plain = (name: string): string => name.replaceAll('\\', '').toLowerCase()

/**
 * Compares character by character. What does not fit gives the last star one character more; earlier stars need never
 * change. So the time is that of the text times the longest stretch between two stars.
 */
function matchesWildcards(wildcards: string, text: string): boolean {
  // Characters beyond 16 bits are one: `?` stands for any.
  const [pattern, characters] = [[...wildcards], [...text]]
  let at = 0
  let afterStar: number | undefined
  let taken = 0
  for (let index = 0; index < characters.length;) {
    if (pattern[at] === '*') {
      at += 1
      afterStar = at
      taken = index
    } else if (pattern[at] === '?' || pattern[at] === characters[index]) {
      at += 1
      index += 1
    } else if (afterStar === undefined) return false
    else {
      at = afterStar
      taken += 1
      index = taken
    }
  }
  return pattern.slice(at).every((rest) => rest === '*')
}

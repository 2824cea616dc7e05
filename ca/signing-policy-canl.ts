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

/** Compares in time proportional to the square of the text at most. */
function matchesWildcards(wildcards: string, text: string): boolean {
  const pattern = wildcards.replaceAll(/\*+/g, '*')
  if (pattern.replaceAll('*', '').length > text.length) return false
  let states = new Set([0])
  const skipStars = (from: ReadonlySet<number>): Set<number> => {
    const all = new Set(from)
    for (const state of all) if (pattern[state] === '*') all.add(state + 1)
    return all
  }
  states = skipStars(states)
  for (const character of text) {
    const next = new Set<number>()
    for (const state of states) {
      if (pattern[state] === '*') next.add(state)
      else if (pattern[state] === '?' || pattern[state] === character) next.add(state + 1)
    }
    states = skipStars(next)
  }
  return states.has(pattern.length)
}

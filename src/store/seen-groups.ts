/** The groups in which an identity was seen, as the column `groups` of `identities` holds them. */
import { originalText, storedText } from './stored-text.ts'

const DAY_MS = 86_400_000
/** Older ones are forgotten: credentials that were issued by them have ended, unless the site has longer lifetimes. */
const REMEMBERED_DAYS = 30
/** Groups of one identity; the newest stay. */
const MAX_GROUPS = 2000

/** Days since 1970, by group. */
type SeenGroups = ReadonlyMap<string, number>

const dayOf = (at: Date): number => Math.floor(at.getTime() / DAY_MS)

function read(stored: string | null, today: number): SeenGroups {
  if (stored === null) return new Map()
  const value = JSON.parse(originalText(stored)) as readonly string[] | Record<string, number>
  // A list was written before there were days.
  const seen = Array.isArray(value)
    ? value.map((group: string): [string, number] => [group, today])
    : Object.entries(value as Record<string, number>)
  return new Map(seen.filter(([, day]) => day > today - REMEMBERED_DAYS))
}

/** The groups of the last 30 days. */
export function groupsSeen(stored: string | null, at: Date): readonly string[] {
  return [...read(stored, dayOf(at)).keys()]
}

/** The value of the column with these groups added. */
export function withGroupsSeen(stored: string | null, groups: readonly string[], at: Date): string {
  const today = dayOf(at)
  const before = [...read(stored, today)].filter(([group]) => !groups.includes(group))
  const newest = before.toSorted(([, left], [, right]) => right - left)
  const all = [...groups.map((group): [string, number] => [group, today]), ...newest]
  return storedText(JSON.stringify(Object.fromEntries(all.slice(0, MAX_GROUPS))))
}

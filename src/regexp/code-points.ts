/** Sets of code points, as classes like `[a-z]`, `\d` and `\p{L}` describe them. */

/** First and last code point. */
export type Range = readonly [first: number, last: number]

const LAST_CODE_POINT = 0x10_ff_ff

/** `\d` */
export const digits: readonly Range[] = [[0x30, 0x39]]

/** `\w`: ASCII only, unlike some other engines. */
export const wordCharacters: readonly Range[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]

/** `\s`: more characters than in RE2, which has only five of ASCII. */
export const whiteSpace: readonly Range[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x16_80, 0x16_80],
  [0x20_00, 0x20_0a],
  [0x20_28, 0x20_29],
  [0x20_2f, 0x20_2f],
  [0x20_5f, 0x20_5f],
  [0x30_00, 0x30_00],
  [0xfe_ff, 0xfe_ff],
]

/** What `.` does not match. RE2's dot excludes only the line feed. */
export const lineTerminators: readonly Range[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x20_28, 0x20_29],
]

/** Returns all code points outside the set. */
export function complementOf(ranges: readonly Range[]): readonly Range[] {
  const sorted = ranges.toSorted(([first], [second]) => first - second)
  const gaps: Range[] = []
  let next = 0
  for (const [first, last] of sorted) {
    if (first > next) gaps.push([next, first - 1])
    next = Math.max(next, last + 1)
  }
  return next > LAST_CODE_POINT ? gaps : [...gaps, [next, LAST_CODE_POINT]]
}

const properties = new Map<string, readonly Range[]>()

/**
 * Returns the code points of a Unicode property such as `\p{Lu}`. Node's engine tests each code point, because RE2
 * has fewer properties and its own version of Unicode.
 */
export function codePointsOfProperty(escape: string): readonly Range[] {
  const known = properties.get(escape)
  if (known !== undefined) return known
  const expression = new RegExp(`^${escape}$`, 'u')
  const ranges: Range[] = []
  let first: number | undefined
  for (let codePoint = 0; codePoint <= LAST_CODE_POINT; codePoint += 1) {
    const holds = expression.test(String.fromCodePoint(codePoint))
    if (holds) first ??= codePoint
    if (holds || first === undefined) continue
    ranges.push([first, codePoint - 1])
    first = undefined
  }
  if (first !== undefined) ranges.push([first, LAST_CODE_POINT])
  properties.set(escape, ranges)
  return ranges
}

/** Returns the set in RE2's syntax, where an empty class can only be written as the complement of everything. */
export function classPattern(ranges: readonly Range[]): string {
  if (ranges.length === 0) return `[^${codePoint(0)}-${codePoint(LAST_CODE_POINT)}]`
  return `[${ranges.map(([first, last]) => `${codePoint(first)}-${codePoint(last)}`).join('')}]`
}

/** Returns one character in RE2's syntax, in a form that never has a special meaning. */
export function codePoint(value: number): string {
  return `\\x{${value.toString(16)}}`
}

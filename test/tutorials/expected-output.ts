/** Compares what commands printed with what a tutorial shows. */

const ELLIPSIS = '…'

/**
 * Tells how an output differs from the expected one, or undefined if it does not. `…` stands for any text within a
 * line; alone in a line it stands for any number of lines, also for none.
 */
export function outputDifference(
  expected: readonly string[],
  printed: readonly string[],
): string | undefined {
  const farthest = { expected: 0, printed: 0 }
  if (matches({ expected, printed, farthest }, 0, 0)) return undefined
  const shown = (line: string | undefined): string => (line === undefined ? 'no line' : `"${line}"`)
  return `line ${farthest.printed + 1} of the output is ${shown(printed[farthest.printed])}, expected ${shown(expected[farthest.expected])}`
}

interface Comparison {
  readonly expected: readonly string[]
  readonly printed: readonly string[]
  /** The pair of lines at which the attempt failed that found most of the expected lines. */
  readonly farthest: { expected: number; printed: number }
}

function matches(comparison: Comparison, from: number, at: number): boolean {
  const { expected, printed, farthest } = comparison
  const line = expected[from]
  if (line === ELLIPSIS) {
    for (let next = at; next <= printed.length; next += 1)
      if (matches(comparison, from + 1, next)) return true
    return false
  }
  if (line === undefined && at === printed.length) return true
  const found = printed[at]
  if (line !== undefined && found !== undefined && lineMatches(line, found))
    return matches(comparison, from + 1, at + 1)
  if (from >= farthest.expected) Object.assign(farthest, { expected: from, printed: at })
  return false
}

function lineMatches(expected: string, printed: string): boolean {
  const [first = '', ...others] = expected.split(ELLIPSIS)
  const last = others.pop()
  if (last === undefined) return printed === first
  if (!printed.startsWith(first)) return false
  let at = first.length
  for (const part of others) {
    const found = printed.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return printed.length - last.length >= at && printed.endsWith(last)
}

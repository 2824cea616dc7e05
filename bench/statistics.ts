/** Medians and other small sums over rounds. */

/** Returns the median, NaN for no values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

export const sum = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0)

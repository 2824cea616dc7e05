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

/** Returns the slope of the line that fits the points best (least squares); NaN for fewer than two. */
export function slope(points: readonly (readonly [number, number])[]): number {
  const meanOf = (values: readonly number[]): number => sum(values) / values.length
  const meanX = meanOf(points.map(([x]) => x))
  const meanY = meanOf(points.map(([, y]) => y))
  const products = points.map(([x, y]) => (x - meanX) * (y - meanY))
  return sum(products) / sum(points.map(([x]) => (x - meanX) ** 2))
}

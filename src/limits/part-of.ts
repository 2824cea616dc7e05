/** Returns one caller's share of a pool, at least 1, so that a single caller cannot use all of it. */
export function partOf(pool: number, share: number): number {
  return Math.max(1, Math.floor(pool * share))
}

/** The share that one caller may have of a pool, so that nobody else is shut out. At least one. */
export function partOf(pool: number, share: number): number {
  return Math.max(1, Math.floor(pool * share))
}

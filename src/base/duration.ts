/** Durations for people. */

const units: readonly (readonly [string, number])[] = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
]

/** Formats a duration with its two largest units: `3 days 4 hours`, `12 minutes`. */
export function formatDuration(seconds: number): string {
  const parts: string[] = []
  let left = Math.max(0, Math.round(seconds))
  for (const [name, size] of units) {
    const count = Math.floor(left / size)
    left -= count * size
    if (count > 0 && parts.length < 2) parts.push(`${count} ${name}${count === 1 ? '' : 's'}`)
    else if (parts.length > 0) break
  }
  return parts.join(' ') || '0 seconds'
}

/** Returns the seconds from `now` to `date`; negative if it is past. */
export function secondsUntil(date: Date, now: Date): number {
  return Math.round((date.getTime() - now.getTime()) / 1000)
}

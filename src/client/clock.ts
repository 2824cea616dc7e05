/** Compares the clock of this machine with that of a server (header `Date`, RFC 9110 section 6.6.1). */
import { formatDuration } from '../base/duration.ts'

/** A larger difference makes certificates look expired or not yet valid. */
export const CLOCK_TOLERANCE_SECONDS = 60

/**
 * Returns by how many seconds this clock is ahead of the server's (negative: behind); undefined while the difference is
 * within the tolerance or not known.
 */
export function clockDifference(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  now: Date,
): number | undefined {
  const { date } = headers
  const serverTime = typeof date === 'string' ? Date.parse(date) : Number.NaN
  if (Number.isNaN(serverTime)) return undefined
  const seconds = Math.round((now.getTime() - serverTime) / 1000)
  return Math.abs(seconds) > CLOCK_TOLERANCE_SECONDS ? seconds : undefined
}

/** Describes a difference of the clocks, with what to do. @param seconds as `clockDifference` returns it */
export function describeClockDifference(seconds: number): string {
  const direction = seconds > 0 ? 'ahead of' : 'behind'
  return `the clock of this machine is ${formatDuration(Math.abs(seconds))} ${direction} the clock of the service; set it with NTP (timedatectl shows whether it is synchronised), otherwise proxies seem to have expired or not to be valid yet`
}

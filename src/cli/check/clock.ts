/** Compares the clock of this machine with others: tokens and certificates depend on it. */
import type { Check } from './check.ts'

const WARN_SECONDS = 60
/** Certificates begin five minutes before they are issued. */
const FAILED_SECONDS = 300

/**
 * Returns a problem if the clocks differ by a minute or more.
 *
 * @param other time of the other clock, and our time when it was read
 */
export function clockChecks(
  whose: string,
  { theirs, ours }: { readonly theirs: Date; readonly ours: Date },
): Check[] {
  const seconds = Math.round((ours.getTime() - theirs.getTime()) / 1000)
  const difference = Math.abs(seconds)
  if (difference < WARN_SECONDS) return []
  return [
    {
      check: 'clock',
      state: difference < FAILED_SECONDS ? 'warning' : 'failed',
      detail: `the clock of this machine is ${difference} seconds ${seconds > 0 ? 'ahead of' : 'behind'} that of ${whose}`,
      remedy:
        'Let NTP set the clock (timedatectl), on this machine or on the other one. Tokens are refused, and proxies are not valid yet or end early, where clocks differ.',
    },
  ]
}

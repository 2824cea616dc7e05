/** The renewals of the background loop: starts those that are due, and says how long the loop may sleep. */
import type { ManagedProxy } from './managed-proxy.ts'
import type { RenewalPolicy } from './renewal.ts'

/**
 * After a minute the loop reads the clock again, so neither a clock step nor a suspended machine delays it for long.
 */
const LONGEST_SLEEP_MS = 60_000
const SHORTEST_SLEEP_MS = 20

/** Starts the renewal of each proxy that is due. `onEnd` is called at the end of each renewal. */
export function startDueRenewals(
  proxies: Iterable<ManagedProxy>,
  policy: RenewalPolicy,
  onEnd: () => void,
): void {
  for (const proxy of proxies)
    if (proxy.renewal === undefined && proxy.decision(policy).renew)
      // A failure is logged and shown in the status.
      proxy.renew().then(onEnd, onEnd)
}

/** Returns the milliseconds until the next renewal, at most `pollMs`. */
export function sleepMs(
  proxies: Iterable<ManagedProxy>,
  policy: RenewalPolicy,
  { nowMs, pollMs }: { readonly nowMs: number; readonly pollMs: number },
): number {
  const waits = [...proxies].flatMap((proxy) => {
    if (proxy.renewal !== undefined) return []
    const decision = proxy.decision(policy)
    return decision.renew ? 0 : decision.at.getTime() - nowMs
  })
  return Math.max(Math.min(pollMs, LONGEST_SLEEP_MS, ...waits), SHORTEST_SLEEP_MS)
}

/** When a proxy is renewed: a pure function of the time, the proxy in hand, and how the newest attempts went. */

/** The rules, from section `renewal` of the settings. */
export interface RenewalPolicy {
  /** Renew once less than this part of the life is left. */
  readonly renewBelow: number
  /** A renewal comes up to this part of its wait earlier. */
  readonly jitter: number
  /** Renew at this age, if that comes first. */
  readonly renewAfterMs: number | undefined
  readonly retryFirstMs: number
  readonly retryLongestMs: number
}

/** The proxy in hand, as far as its renewal goes. */
export interface ProxyLife {
  readonly obtainedAt: Date
  /** The earliest end of all certificates in the file. */
  readonly notAfter: Date
  /** From 0 to below 1, drawn once for this proxy: its place within the jitter. */
  readonly draw: number
}

/** Attempts that failed since the newest one that did not. */
export interface Failures {
  readonly count: number
  readonly lastAt: Date
  /** From 0 to below 1, drawn for this failure. */
  readonly draw: number
  /** What the one who refused asked for (Retry-After). */
  readonly retryAfterMs: number | undefined
}

export type Decision = { readonly renew: true } | { readonly renew: false; readonly at: Date }

/** Time before the end of the proxy at which an attempt is made in any case, as long as its life allows. */
const LAST_ATTEMPT_MS = 60_000
/** Nobody who asks us to come later makes us stay away for longer. */
const LONGEST_RETRY_AFTER_MS = 3_600_000

/** Renew now, or when. A wait is never over after the proxy in hand has ended, when it could have been renewed before. */
export function decide(
  now: Date,
  policy: RenewalPolicy,
  has: { readonly proxy: ProxyLife | undefined; readonly failures: Failures | undefined },
): Decision {
  const { proxy, failures } = has
  const dueMs = proxy === undefined ? -Infinity : dueAt(policy, proxy).getTime()
  const nextMs = failures === undefined ? -Infinity : retryAt(now, policy, { proxy, failures })
  // Dates cut fractions off: it would be a moment that is too early for ever.
  const atMs = Math.ceil(Math.max(dueMs, nextMs))
  return atMs <= now.getTime() ? { renew: true } : { renew: false, at: new Date(atMs) }
}

/** When the renewal of a proxy is due, its jitter included. */
export function dueAt(policy: RenewalPolicy, proxy: ProxyLife): Date {
  const beginMs = proxy.obtainedAt.getTime()
  const lifeMs = Math.max(0, proxy.notAfter.getTime() - beginMs)
  const byLifeMs = lifeMs * (1 - policy.renewBelow)
  const waitMs = Math.min(byLifeMs, policy.renewAfterMs ?? Infinity)
  return new Date(beginMs + waitMs * (1 - policy.jitter * proxy.draw))
}

/** Milliseconds since 1970. Waits double from the first to the longest; each is between half of its length and all of it. */
function retryAt(
  now: Date,
  policy: RenewalPolicy,
  { proxy, failures }: { readonly proxy: ProxyLife | undefined; readonly failures: Failures },
): number {
  const { count, draw, retryAfterMs = 0 } = failures
  // A failure in the future: the clock was set back since. Waiting for that time to come again could take for ever.
  const lastMs = Math.min(failures.lastAt.getTime(), now.getTime())
  const doubledMs = policy.retryFirstMs * 2 ** Math.min(count - 1, 30)
  const backoffMs = Math.min(doubledMs, policy.retryLongestMs) * (0.5 + draw / 2)
  const nextMs = lastMs + Math.max(backoffMs, Math.min(retryAfterMs, LONGEST_RETRY_AFTER_MS))
  if (proxy === undefined) return nextMs
  const lastChanceMs = proxy.notAfter.getTime() - lastAttemptBeforeEnd(proxy)
  // Once that attempt has failed too, the usual waits hold.
  return lastMs < lastChanceMs ? Math.min(nextMs, lastChanceMs) : nextMs
}

/** A tenth of the life where that is shorter than a minute. */
function lastAttemptBeforeEnd({ obtainedAt, notAfter }: ProxyLife): number {
  return Math.min(LAST_ATTEMPT_MS, Math.max(0, notAfter.getTime() - obtainedAt.getTime()) / 10)
}

/** Decides when a proxy is renewed: a pure function of the time, the present proxy and the newest failures. */

/** The rules, from section `renewal` of the settings. */
export interface RenewalPolicy {
  /** Renew when less than this fraction of the lifetime is left. */
  readonly renewBelow: number
  /** A renewal is made earlier by up to this fraction of its wait. */
  readonly jitter: number
  /** Renew at this age, if that is earlier. */
  readonly renewAfterMs: number | undefined
  readonly retryFirstMs: number
  readonly retryLongestMs: number
}

/** What the decision needs to know of the present proxy. */
export interface ProxyLife {
  readonly obtainedAt: Date
  /** The earliest notAfter of all certificates in the file. */
  readonly notAfter: Date
  /** From 0 to below 1, drawn once for each proxy: its position within the jitter. */
  readonly draw: number
  /** When renewal itself ends unless a renewal extends it; undefined when that is not known. */
  readonly renewableUntil?: Date | undefined
}

/** The attempts that failed since the newest success. */
export interface Failures {
  readonly count: number
  readonly lastAt: Date
  /** From 0 to below 1, drawn for this failure. */
  readonly draw: number
  /** The Retry-After of the refusal. */
  readonly retryAfterMs: number | undefined
}

export type Decision = { readonly renew: true } | { readonly renew: false; readonly at: Date }

/** A last attempt is made this long before the proxy or its renewal ends, whatever the backoff. */
const LAST_ATTEMPT_MS = 60_000
/** Renewals that only keep the source alive are not more frequent than this. */
const SHORTEST_WAIT_MS = 60_000
/** A longer Retry-After is shortened to this. */
const MAX_RETRY_AFTER_MS = 3_600_000

/**
 * Decides whether to renew now, or when. A wait never outlasts the present proxy if an attempt is possible before its
 * end.
 */
export function decide(
  now: Date,
  policy: RenewalPolicy,
  {
    proxy,
    failures,
  }: { readonly proxy: ProxyLife | undefined; readonly failures: Failures | undefined },
): Decision {
  const dueMs = proxy === undefined ? -Infinity : dueMsAt(now, policy, proxy)
  const nextMs = failures === undefined ? -Infinity : retryAt(now, policy, { proxy, failures })
  // A Date drops fractions of a millisecond. Rounded down, the moment would always come too early and cause a busy
  // loop.
  const atMs = Math.ceil(Math.max(dueMs, nextMs))
  return atMs <= now.getTime() ? { renew: true } : { renew: false, at: new Date(atMs) }
}

/**
 * Milliseconds since 1970. A proxy that was obtained in the future is from before the clock was set back, and its age
 * is not known: waiting for that time could outlast the session at the provider. Differences between machines that
 * are small against the wait do not count.
 */
function dueMsAt(now: Date, policy: RenewalPolicy, proxy: ProxyLife): number {
  const obtainedMs = proxy.obtainedAt.getTime()
  const dueMs = dueAt(policy, proxy).getTime()
  return obtainedMs - now.getTime() > (dueMs - obtainedMs) / 2 ? -Infinity : dueMs
}

/** Returns when the renewal of a proxy is due, with its jitter. */
export function dueAt(policy: RenewalPolicy, proxy: ProxyLife): Date {
  const startMs = proxy.obtainedAt.getTime()
  const lifeMs = Math.max(0, proxy.notAfter.getTime() - startMs)
  const byLifeMs = lifeMs * (1 - policy.renewBelow)
  const waitMs = Math.min(byLifeMs, policy.renewAfterMs ?? Infinity, waitForSource(proxy))
  return new Date(startMs + waitMs * (1 - policy.jitter * proxy.draw))
}

/**
 * Half the time until renewal ends: a refresh token of Keycloak's session expires after 30 minutes without a refresh,
 * long before the proxy is due. If renewal ends anyway, the last proxy is then as new as possible.
 */
function waitForSource({ obtainedAt, renewableUntil }: ProxyLife): number {
  const leftMs = (renewableUntil?.getTime() ?? Infinity) - obtainedAt.getTime()
  return leftMs <= 0 ? Infinity : Math.max(leftMs / 2, SHORTEST_WAIT_MS)
}

/**
 * Returns milliseconds since 1970. Waits double from the first to the longest; jitter shortens each by up to half. It
 * lengthens a Retry-After by up to half, because many who were refused at one moment must not come back at one moment.
 */
function retryAt(
  now: Date,
  policy: RenewalPolicy,
  { proxy, failures }: { readonly proxy: ProxyLife | undefined; readonly failures: Failures },
): number {
  const { count, draw, retryAfterMs = 0 } = failures
  // A failure in the future means that the clock was set back. Waiting for that time again could take for ever.
  const lastMs = Math.min(failures.lastAt.getTime(), now.getTime())
  const doubledMs = policy.retryFirstMs * 2 ** Math.min(count - 1, 30)
  const backoffMs = Math.min(doubledMs, policy.retryLongestMs) * (0.5 + draw / 2)
  const wantedMs = Math.min(retryAfterMs, MAX_RETRY_AFTER_MS) * (1.5 - draw / 2)
  const nextMs = lastMs + Math.max(backoffMs, wantedMs)
  if (proxy === undefined) return nextMs
  // After a failure of the last attempt before an end the normal waits apply again.
  const lastChances = [proxy.notAfter, proxy.renewableUntil ?? proxy.notAfter]
    .map((end) => end.getTime() - lastAttemptBefore(end, proxy))
    .filter((chanceMs) => lastMs < chanceMs)
  return Math.min(nextMs, ...lastChances)
}

/** One minute, or a tenth of the time from the beginning to the end if that is shorter. */
function lastAttemptBefore(end: Date, { obtainedAt }: ProxyLife): number {
  return Math.min(LAST_ATTEMPT_MS, Math.max(0, end.getTime() - obtainedAt.getTime()) / 10)
}

/** Judges the state of certcache in one place: for /health, /status, `certcache status` and its exit code. */
import { z } from 'zod'
import type { HeldProxy, ProxyEngine, RenewalStatus, SourceStatus } from './proxy-engine.ts'
import { formatDuration, secondsUntil } from '../base/duration.ts'

type EngineStatus = ReturnType<ProxyEngine['status']>
type Lifetime = Pick<HeldProxy, 'obtainedAt' | 'notAfter'>

/** The condition and the problems, the worst first. */
export interface Judgement {
  readonly condition: 'ok' | 'warning' | 'critical'
  /** One sentence each; empty when all is well. */
  readonly reasons: readonly string[]
}

/** If renewal ends within this time and needs a new token, that is a warning. */
const RENEWAL_ENDS_SOON_SECONDS = 5 * 86_400

/**
 * Returns the remaining lifetime, in seconds, below which a warning is given: the configured one, but at most a third
 * of the proxy's lifetime, because a proxy of 12 hours never has 12 hours left.
 */
export function requiredLifetimeSeconds(
  { obtainedAt, notAfter }: Lifetime,
  warnBelowSeconds: number,
): number {
  const lifeSeconds = (notAfter.getTime() - obtainedAt.getTime()) / 1000
  return Math.max(0, Math.min(warnBelowSeconds, Math.floor(lifeSeconds / 3)))
}

/** Returns why workers do not get proxies that are valid for long enough; undefined if they do. Used by /health. */
export function findHealthProblem(
  proxies: readonly RenewalStatus[],
  { now, warnBelowSeconds }: { readonly now: Date; readonly warnBelowSeconds: number },
): string | undefined {
  const problems = proxies.flatMap((status) => {
    const missing = missingReason(status, now)
    if (missing !== undefined) return [missing]
    return status.proxy
      ? (lowReason(status.name, status.proxy, { now, warnBelowSeconds }) ?? [])
      : []
  })
  return problems.length === 0 ? undefined : problems.join(' ')
}

/** Returns the overall condition and its reasons, for the Nagios states OK, WARNING and CRITICAL. */
export function judge(
  { proxies, source }: EngineStatus,
  at: { readonly now: Date; readonly warnBelowSeconds: number },
): Judgement {
  const critical: string[] = []
  const warnings: string[] = []
  for (const status of proxies) {
    const missing = missingReason(status, at.now)
    if (missing !== undefined) {
      critical.push(missing)
      continue
    }
    const low = status.proxy && lowReason(status.name, status.proxy, at)
    if (low !== undefined) warnings.push(low)
    // The end of renewal is reported only once, below.
    if (status.lastError && status.lastError.message !== source.ended)
      warnings.push(`Renewal of ${status.name} fails: ${sentence(status.lastError.message)}`)
  }
  const end = renewalEnd(source, at.now)
  if (end !== undefined) warnings.push(end)
  const condition = critical.length > 0 ? 'critical' : warnings.length > 0 ? 'warning' : 'ok'
  return { condition, reasons: [...critical, ...warnings] }
}

function missingReason({ name, proxy, lastError, renewing }: RenewalStatus, now: Date) {
  if (proxy && proxy.notAfter > now) return undefined
  if (lastError) return `There is no valid proxy ${name}: ${sentence(lastError.message)}`
  if (renewing) return `There is no valid proxy ${name} yet; it is being requested.`
  return `There is no valid proxy ${name}.`
}

function lowReason(
  name: string,
  proxy: Lifetime,
  { now, warnBelowSeconds }: { readonly now: Date; readonly warnBelowSeconds: number },
): string | undefined {
  const secondsLeft = secondsUntil(proxy.notAfter, now)
  const requiredSeconds = requiredLifetimeSeconds(proxy, warnBelowSeconds)
  return secondsLeft >= requiredSeconds
    ? undefined
    : `The proxy ${name} expires in ${formatDuration(secondsLeft)}; at least ${formatDuration(requiredSeconds)} should be left.`
}

function renewalEnd(source: SourceStatus, now: Date) {
  const { kind, ended, renewsUntil, advice, withoutRenewal } = source
  if (ended !== undefined) return `Renewal has ended: ${sentence(ended)}`
  // With this source set, the operator replaces the token regularly, so that it always expires soon.
  if (kind === 'token' && withoutRenewal === undefined) return undefined
  if (renewsUntil === undefined)
    return withoutRenewal && `Renewal ends with the token: ${sentence(withoutRenewal)}`
  const secondsLeft = secondsUntil(renewsUntil, now)
  return secondsLeft < RENEWAL_ENDS_SOON_SECONDS
    ? `Renewal ends in ${formatDuration(secondsLeft)}: ${sentence(advice)}`
    : undefined
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`)

const dateTime = z.iso.datetime().nullable()

/** The answer of /status and the output of `certcache status --json`. Times are ISO 8601. It holds no secrets. */
export const statusReport = z.object({
  condition: z.enum(['ok', 'warning', 'critical']),
  reasons: z.array(z.string()),
  version: z.string(),
  started_at: dateTime,
  access: z.object({ mode: z.string(), warning: z.string().optional() }).nullable(),
  source: z.object({
    kind: z.enum(['delegation', 'refresh', 'token', 'none']),
    delegation_id: z.string().nullable(),
    renews_until: dateTime,
    advice: z.string(),
    ended: z.string().nullable(),
  }),
  proxies: z.array(
    z.object({
      name: z.string(),
      subject: z.string().nullable(),
      identity: z.string().nullable(),
      obtained_at: dateTime,
      not_after: dateTime,
      seconds_left: z.number(),
      renewing: z.boolean(),
      next_attempt_at: dateTime,
      last_success_at: dateTime,
      last_error: z
        .object({
          at: z.string(),
          code: z.string(),
          message: z.string(),
          remedy: z.string().nullable(),
        })
        .nullable(),
      attempts: z.object({ succeeded: z.number(), failed: z.number() }),
    }),
  ),
})
export type StatusReport = z.output<typeof statusReport>

export interface ReportParts {
  readonly status: EngineStatus
  readonly now: Date
  readonly warnBelowSeconds: number
  readonly version: string
  /** About the running certcache; undefined when none runs. */
  readonly running:
    { readonly startedAt: Date; readonly access: NonNullable<StatusReport['access']> } | undefined
}

export function reportStatus(parts: ReportParts): StatusReport {
  const { status, now, running, version } = parts
  const { source } = status
  const { condition, reasons } = judge(status, parts)
  return {
    condition,
    reasons: [...reasons],
    version,
    started_at: iso(running?.startedAt),
    access: running?.access ?? null,
    source: {
      kind: source.kind,
      delegation_id: source.delegationId ?? null,
      renews_until: iso(source.renewsUntil),
      advice: source.advice,
      ended: source.ended ?? null,
    },
    proxies: status.proxies.map((proxy) => reportProxy(proxy, now)),
  }
}

function reportProxy(status: RenewalStatus, now: Date): StatusReport['proxies'][number] {
  const { proxy, lastError } = status
  return {
    name: status.name,
    subject: proxy?.subject ?? null,
    identity: proxy?.identity ?? null,
    obtained_at: iso(proxy?.obtainedAt),
    not_after: iso(proxy?.notAfter),
    seconds_left: proxy ? Math.max(0, secondsUntil(proxy.notAfter, now)) : 0,
    renewing: status.renewing,
    next_attempt_at: iso(status.nextAttemptAt),
    last_success_at: iso(status.lastSuccessAt),
    last_error: lastError
      ? {
          at: lastError.at.toISOString(),
          code: lastError.code,
          message: lastError.message,
          remedy: lastError.remedy ?? null,
        }
      : null,
    attempts: status.attempts,
  }
}

const iso = (date: Date | undefined): string | null => date?.toISOString() ?? null

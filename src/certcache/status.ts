/** How certcache is doing: judged in one place, for /health, /status, `certcache status` and its exit code. */
import { z } from 'zod'
import type { HeldProxy, ProxyEngine, RenewalStatus, SourceStatus } from './proxy-engine.ts'
import { errorInWords, secondsUntil } from './words.ts'

type EngineStatus = ReturnType<ProxyEngine['status']>
type Lifetime = Pick<HeldProxy, 'obtainedAt' | 'notAfter'>

/** What may be wrong, the worst first. */
export interface Judgement {
  readonly condition: 'ok' | 'warning' | 'critical'
  /** One sentence each; empty when all is well. */
  readonly reasons: readonly string[]
}

/** Renewal that ends within this time is a warning, where somebody must do something before. */
const RENEWAL_ENDS_SOON_SECONDS = 5 * 86_400

/**
 * Seconds of life that a proxy must have left. A third of its life where that is less than what is configured: a proxy of
 * 12 hours cannot have 12 hours left.
 */
export function enoughSeconds(
  { obtainedAt, notAfter }: Lifetime,
  warnBelowSeconds: number,
): number {
  const lifeSeconds = (notAfter.getTime() - obtainedAt.getTime()) / 1000
  return Math.max(0, Math.min(warnBelowSeconds, Math.floor(lifeSeconds / 3)))
}

/** Whether workers get proxies that last: what /health says. Undefined when they do, else why not. */
export function unhealthy(
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

/** Judges all: 0, 1 and 2 of Nagios. */
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
    // The end of renewal is reported once, below.
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
  if (renewing) return `There is no valid proxy ${name} yet; it is being obtained.`
  return `There is no valid proxy ${name}.`
}

function lowReason(
  name: string,
  proxy: Lifetime,
  { now, warnBelowSeconds }: { readonly now: Date; readonly warnBelowSeconds: number },
): string | undefined {
  const left = secondsUntil(proxy.notAfter, now)
  const enough = enoughSeconds(proxy, warnBelowSeconds)
  return left >= enough
    ? undefined
    : `The proxy ${name} ends in ${errorInWords(left)}; ${errorInWords(enough)} should be left.`
}

function renewalEnd({ kind, ended, renewsUntil, advice }: SourceStatus, now: Date) {
  if (ended !== undefined) return `Renewal is over: ${sentence(ended)}`
  // A token ends all the time; that somebody else renews it is the way of this source.
  if (renewsUntil === undefined || kind === 'token') return undefined
  const left = secondsUntil(renewsUntil, now)
  return left < RENEWAL_ENDS_SOON_SECONDS
    ? `Renewal ends in ${errorInWords(left)}: ${sentence(advice)}`
    : undefined
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`)

const when = z.iso.datetime().nullable()

/** What /status answers and `certcache status --json` prints. Times are ISO 8601; nothing in it is secret. */
export const statusReport = z.object({
  condition: z.enum(['ok', 'warning', 'critical']),
  reasons: z.array(z.string()),
  version: z.string(),
  started_at: when,
  access: z.object({ mode: z.string(), warning: z.string().optional() }).nullable(),
  source: z.object({
    kind: z.enum(['delegation', 'refresh', 'token', 'none']),
    delegation_id: z.string().nullable(),
    renews_until: when,
    advice: z.string(),
    ended: z.string().nullable(),
  }),
  proxies: z.array(
    z.object({
      name: z.string(),
      subject: z.string().nullable(),
      identity: z.string().nullable(),
      obtained_at: when,
      not_after: when,
      seconds_left: z.number(),
      renewing: z.boolean(),
      next_attempt_at: when,
      last_success_at: when,
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
  /** Of the running instance; undefined when there is none. */
  readonly running:
    { readonly startedAt: Date; readonly access: NonNullable<StatusReport['access']> } | undefined
}

/** Puts the report together. */
export function reportStatus(parts: ReportParts): StatusReport {
  const { status, now, running, version } = parts
  const { source } = status
  return {
    ...judge(status, parts),
    reasons: [...judge(status, parts).reasons],
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
    proxies: status.proxies.map((one) => reportProxy(one, now)),
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

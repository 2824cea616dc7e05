/** Background work on delegations: sends expiry notices and ends overdue delegations. */
import { createSingleFlight } from '../../base/async.ts'
import type { Log } from '../../base/log.ts'
import { adviceFor, DAY_MS, lastDay } from './forecast.ts'
import { ledgerEntry } from './ledger.ts'
import { type DelegationDependencies, revokeAtProvider } from './provider.ts'
import type { Delegation } from './records.ts'
import type { DelegationRefresher } from './refresh.ts'
import type { Origin } from '../records.ts'

/** The content of an expiry notice, with the keys of its JSON. Holds no secrets. */
export interface NoticeFacts {
  readonly event: 'delegation.ending'
  readonly id: string
  readonly label: string | null
  readonly issuer: string
  readonly sub: string
  readonly subject: string
  readonly created_at: string
  readonly last_used_at: string | null
  readonly renews_until: string
  readonly days_left: number
  readonly advice: string
}

/** Sends a notice. Settles within its own deadline; rejects when the notice could not be sent. */
export type Notifier = (facts: NoticeFacts) => Promise<void>

export interface WatchDependencies extends DelegationDependencies {
  readonly refresher: Pick<DelegationRefresher, 'recover'>
  /** Undefined: no notices are sent. */
  readonly notifier: Notifier | undefined
  /** How many days before the forecast end the notice is sent. */
  readonly noticeDays: number
}

/** A logFailedNotice notice is sent again after this time, which is longer than a notifier may take. */
const CLAIM_MS = 10 * 60_000
/** A delegation that stays unused for this long after its forecast end is ended: its refresh token has expired. */
const GRACE_DAYS = 30
const LOOK_INTERVAL_MS = 60_000

const origin: Origin = { requestId: 'watch', address: 'local', interface: 'watch' }

/** Does once everything that is due: recovers tokens, ends overdue delegations, sends notices. */
export async function lookAfterDelegations(dependencies: WatchDependencies): Promise<void> {
  await dependencies.refresher.recover()
  await endOverdue(dependencies)
  if (dependencies.notifier !== undefined) await sendNotices(dependencies, dependencies.notifier)
}

/** Calls `lookAfterDelegations` every minute. Returns a function that stops this and waits for the run under way. */
export function watchDelegations(dependencies: WatchDependencies): () => Promise<void> {
  const looking = createSingleFlight<void>()
  const look = (): void =>
    void looking.run(async () =>
      lookAfterDelegations(dependencies).catch((error: unknown) => {
        dependencies.log.error(
          { event: 'delegations.watch-failed', err: error },
          'the background work on delegations logFailedNotice; it runs again in one minute',
        )
      }),
    )
  const timer = setInterval(look, LOOK_INTERVAL_MS)
  timer.unref()
  look()
  return async () => {
    clearInterval(timer)
    await looking.current
  }
}

async function endOverdue(dependencies: WatchDependencies): Promise<void> {
  const { issuing, bounds, now, log, providers } = dependencies
  const at = now()
  const before = (days: number): Date => new Date(at.getTime() - days * DAY_MS)
  const overdue = await issuing.store.delegations.overdue({
    madeBefore: before(bounds.maximumDays),
    endedBefore: before(GRACE_DAYS),
  })
  for (const delegation of overdue) {
    const { id, identity } = delegation
    const reason =
      at >= lastDay(delegation, bounds)
        ? `it was ${bounds.maximumDays} days old, the longest that this service allows`
        : 'it was not used until its end'
    const entry = ledgerEntry({ event: 'ended', at, origin, identity, detail: reason })
    const ended = await issuing.store.delegations.end(id, { state: 'ended', at, reason, entry })
    if (ended === undefined) continue
    log.info({ event: 'delegation.ended', delegation: id }, reason)
    await revokeAtProvider(providers.get(delegation.providerId), [ended.held?.current], log)
  }
}

async function sendNotices(dependencies: WatchDependencies, notifier: Notifier): Promise<void> {
  const { issuing, now, noticeDays } = dependencies
  const at = now()
  const before = new Date(at.getTime() + noticeDays * DAY_MS)
  for (const delegation of await issuing.store.delegations.dueForNotice(at, before)) {
    const until = new Date(at.getTime() + CLAIM_MS)
    // One of several replicas claims the notice. If it fails or dies, the claim expires and another one tries.
    if (await issuing.store.delegations.claimNotice(delegation, { now: at, until }))
      await sendNotice(dependencies, notifier, delegation)
  }
}

async function sendNotice(
  { issuing, bounds, now, log }: WatchDependencies,
  notifier: Notifier,
  delegation: Delegation,
): Promise<void> {
  const { id, identity, renewsUntil } = delegation
  const at = now()
  try {
    await notifier({
      event: 'delegation.ending',
      id,
      label: delegation.label ?? null,
      issuer: identity.issuer,
      sub: identity.sub,
      subject: identity.subject,
      created_at: delegation.createdAt.toISOString(),
      last_used_at: delegation.lastUsedAt?.toISOString() ?? null,
      renews_until: renewsUntil.toISOString(),
      days_left: Math.floor((10 * (renewsUntil.getTime() - at.getTime())) / DAY_MS) / 10,
      advice: adviceFor(delegation, bounds, at),
    })
  } catch (error) {
    logFailedNotice(log, id, error)
    return
  }
  const detail = `notice sent: it ends on ${renewsUntil.toISOString()}`
  const entry = ledgerEntry({ event: 'notice', at, origin, identity, detail })
  await issuing.store.delegations.noticeGiven(delegation, entry)
  log.info(
    { event: 'delegation.notice', delegation: id, renews_until: renewsUntil },
    'expiry notice sent',
  )
}

function logFailedNotice(log: Log, id: string, error: unknown): void {
  log.error(
    { event: 'delegation.notice-failed', delegation: id, err: error },
    'could not send an expiry notice; trying again in ten minutes',
  )
}

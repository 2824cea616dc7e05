/** The refresher of a service whose refresh tokens are with a custodian: its own part is who waits for what, and how often. */
import type { DelegationRefresher, Refreshed } from '../domain/delegation-refresh.ts'
import type { RateLimiter } from '../limits/rate-limiter.ts'
import { createRefreshFlights } from '../domain/refresh-flights.ts'
import type { Custodian } from './custodian.ts'
import type { Answer } from './protocol.ts'

export interface CustodianRefresherOptions {
  readonly custodian: Custodian
  /** How often each delegation may be refreshed. */
  readonly rate: RateLimiter
  /** How long the custodian may take for a refresh at this provider, before it counts as hung. */
  readonly deadlineMs: (providerId: string) => number
  /** How long the custodian is waited for when the service stops. */
  readonly stopMs: number
}

const STORING_DEADLINE_MS = 60_000

/** Refreshes in a process of its own. */
export function createCustodianRefresher(options: CustodianRefresherOptions): DelegationRefresher {
  const { custodian, rate, deadlineMs, stopMs } = options
  const flights = createRefreshFlights<Refreshed>(rate)
  return {
    refresh: ({ id, providerId }, { requestId, address, interface: door }) =>
      flights.join(id, async () => {
        const origin = { requestId, address, interface: door }
        const question = { refresh: { delegation: id, origin } }
        return refreshedOf(await custodian.ask(question, deadlineMs(providerId)))
      }),
    async storeUnsaved() {
      if (!custodian.isRunning()) return true
      const answer = await custodian.ask({ store_unsaved: true }, STORING_DEADLINE_MS)
      return 'all_saved' in answer && answer.all_saved
    },
    async settle() {
      await custodian.close(stopMs)
      await flights.settled()
    },
  }
}

function refreshedOf(answer: Answer): Refreshed {
  if (!('refreshed' in answer)) throw new TypeError('the custodian answered something else')
  const { access_token: accessToken, renews_until: renewsUntil } = answer.refreshed
  return { accessToken, renewsUntil: new Date(renewsUntil) }
}

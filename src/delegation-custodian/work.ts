/** The custodian's inside: today's refresher over records of its own. */
import { createDelegationRefresher, takenBack } from '../domain/delegation-refresh.ts'
import type { DelegationProvider } from '../domain/delegation-provider.ts'
import { TtsError } from '../errors.ts'
import { rememberedConfiguration } from '../grants/discovery.ts'
import { createGrantClient } from '../grants/grant-client.ts'
import type { Log } from '../log.ts'
import { parseMasterKeys } from '../store/master-keys.ts'
import { schemaVersion } from '../store/migrations.ts'
import { openStore } from '../store/store.ts'
import type { Answer, CustodianOrder, ProviderOrder, Question } from './protocol.ts'

/** A custodian that can work. */
export interface Work {
  /** @throws {TtsError} what `DelegationRefresher` throws */
  answer(question: Question): Promise<Answer>
  /** Finishes what was begun, keeps offering what the records do not take for a while, and closes them. */
  finish(): Promise<void>
}

/** Refreshes take turns anyway, and each write is short. */
const POOL_SIZE = 4
/** How long, after the service has gone, a token is kept in memory while the records cannot be written. */
const STUBBORN_MS = 60_000
const STUBBORN_PAUSE_MS = 500

/** @throws {TtsError} `configuration`, `store_unavailable` */
export async function openWork(
  order: CustodianOrder,
  surroundings: { readonly now: () => Date; readonly log: Log },
): Promise<Work> {
  if (order.schema !== schemaVersion()) throw anotherVersion()
  const { now } = surroundings
  const settings = { ...order.store, pool_size: Math.min(order.store.pool_size, POOL_SIZE) }
  const masterKeys = parseMasterKeys(order.master_keys, 'the custodian’s order')
  const store = await openStore({ settings, masterKeys, now })
  const lifetimes = new Map(order.providers.map(({ id, lifetime_days: days }) => [id, days]))
  const refresher = createDelegationRefresher({
    ...surroundings,
    records: store.delegations,
    providers: new Map(order.providers.map((given) => [given.id, providerOf(given, now)])),
    bounds: { maximumDays: order.maximum_days, lifetimeDays: (id) => lifetimes.get(id) },
    rate: undefined,
  })
  return {
    async answer(question) {
      if ('store_unsaved' in question) return { all_saved: await refresher.storeUnsaved() }
      const { delegation: id, origin } = question.refresh
      const delegation = await store.delegations.find(id)
      if (delegation === undefined) throw takenBack()
      const { accessToken, renewsUntil } = await refresher.refresh(delegation, origin)
      const renews = renewsUntil.toISOString()
      return { refreshed: { access_token: accessToken, renews_until: renews } }
    },
    async finish() {
      await refresher.settle()
      const end = performance.now() + STUBBORN_MS
      while (!(await refresher.storeUnsaved()) && performance.now() < end)
        await new Promise((resolve) => setTimeout(resolve, STUBBORN_PAUSE_MS))
      await store.close()
    },
  }
}

function providerOf(given: ProviderOrder, now: () => Date): DelegationProvider {
  const { id, issuer, client_id: clientId, client_secret: clientSecret, audience } = given
  const timeoutMs = given.timeout_ms
  const client = { issuer, providerId: id, clientId, clientSecret, timeoutMs }
  const configuration = rememberedConfiguration(client, now)
  return {
    id,
    audience,
    timeoutMs,
    // Delegations are made by the service itself.
    scopes: [],
    client: createGrantClient({ configuration, providerId: id, timeoutMs, now }),
  }
}

function anotherVersion(): TtsError {
  return new TtsError('internal', 'renewal needs a restart of this service', {
    check: 'custodian',
    retryAfterSeconds: 60,
    remedy: 'the program on the disk is of another version than the one that runs: restart it',
  })
}

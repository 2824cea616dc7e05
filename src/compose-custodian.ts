/** Where delegations are refreshed: by a custodian, put together here; see compose-delegations.ts. */
import type { ProviderSettings } from './config/provider-schema.ts'
import type { Configuration } from './config/schema.ts'
import type { Environment } from './config/settings-tree.ts'
import { createCustodian } from './delegation-custodian/custodian.ts'
import { createCustodianRefresher } from './delegation-custodian/custodian-refresher.ts'
import type { CustodianOrder, ProviderOrder } from './delegation-custodian/protocol.ts'
import type { DelegationDependencies } from './domain/delegation-provider.ts'
import { type DelegationRefresher, STORING_MS } from './domain/delegation-refresh.ts'
import { createRateLimiter } from './limits/rate-limiter.ts'
import { masterKeysText } from './store/master-keys.ts'
import { schemaVersion } from './store/migrations.ts'
import type { OpenStoreOptions } from './store/store.ts'
import type { ProviderClient } from './tokens/discovery.ts'

/** What a custodian needs to open the records for itself. */
export type RecordsPlace = Pick<OpenStoreOptions, 'settings' | 'masterKeys'>

/** Some at once, then one every five seconds. */
const STARTS = { perSecond: 0.2, burst: 5 }
/** The lock, the current token, the one before it. */
const DEADLINES_OF_A_REFRESH = 3
/** For starting, for writing, and whatever a loaded machine takes. */
const ROOM_MS = 60_000

/** In a process of its own, which goes on when this one is killed. */
export function assembleRefresher(
  configuration: Configuration,
  base: DelegationDependencies,
  place: RecordsPlace & { readonly environment: Environment },
): DelegationRefresher {
  const { providers, bounds, rates, log } = base
  const rate = rates.refreshes
  const starts = createRateLimiter({ ...STARTS, nowMs: () => performance.now() })
  const order = (): CustodianOrder => ({
    store: place.settings,
    schema: schemaVersion(),
    master_keys: masterKeysText(place.masterKeys),
    providers: providerOrders(configuration),
    maximum_days: bounds.maximumDays,
    environment: forPostgres(place.environment),
  })
  const timeouts = [...providers.values()].map(({ timeoutMs }) => timeoutMs)
  const longestMs = Math.max(0, ...timeouts) + STORING_MS
  return createCustodianRefresher({
    custodian: createCustodian({ order, environment: place.environment, starts, log }),
    rate,
    deadlineMs: (id) => DEADLINES_OF_A_REFRESH * (providers.get(id)?.timeoutMs ?? 0) + ROOM_MS,
    stopMs: Math.max(configuration.limits.shutdown_seconds * 1000, longestMs),
  })
}

function providerOrders({ providers }: Configuration): readonly ProviderOrder[] {
  return Object.entries(providers).flatMap(([id, settings]) => {
    const { delegation, issuer, audiences } = settings
    if (delegation === undefined) return []
    const { clientId, clientSecret } = delegationClientOf(settings, delegation)
    return [
      {
        id,
        issuer,
        client_id: clientId,
        client_secret: clientSecret,
        audience: delegation.audience ?? audiences[0],
        timeout_ms: delegation.timeout_seconds * 1000,
        lifetime_days: delegation.refresh_token_lifetime_days,
      },
    ]
  })
}

/** PGPASSWORD and the like: where the connection string does not say it, its library looks there. */
function forPostgres(environment: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      name.startsWith('PG') && value !== undefined ? [[name, value] as const] : [],
    ),
  )
}

/** Our client for delegations: one of the section's own, or the provider's. */
export function delegationClientOf(
  settings: ProviderSettings,
  delegation: NonNullable<ProviderSettings['delegation']>,
): ProviderClient {
  const own = delegation.client_id === undefined ? settings : delegation
  return { clientId: own.client_id ?? '', clientSecret: own.client_secret }
}

/** Delegations, put together over the other parts; see compose.ts. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { unlessAborted } from '../base/async.ts'
import type { Environment } from '../config/load.ts'
import type { ProviderSettings } from '../config/provider-schema.ts'
import type { Configuration } from '../config/schema.ts'
import type { DelegationBounds } from '../domain/delegations/forecast.ts'
import type { DelegationProvider, DelegationRates } from '../domain/delegations/provider.ts'
import type { RenewalDependencies } from '../domain/delegations/renewal.ts'
import {
  createDelegationRefresher,
  type DelegationRefresher,
  STORING_MS,
} from '../domain/delegations/refresh.ts'
import { type Notifier, watchDelegations } from '../domain/delegations/watch.ts'
import type { IssueDependencies } from '../domain/issuing/issue.ts'
import { createRateLimiter } from '../limits/rate-limiter.ts'
import { configurationFor } from '../grants/discovery.ts'
import { createGrantClient } from '../grants/grant-client.ts'
import type { Log } from '../base/log.ts'
import { commandNotifier } from '../notices/command-notice.ts'
import { webhookNotifier } from '../notices/webhook-notice.ts'
import { createRefreshHelper, type RefreshHelper } from '../refresh-helper/helper.ts'
import type { ProviderClient } from '../tokens/discovery.ts'
import type { Provider } from '../tokens/providers.ts'
import type { TokenVerifier } from '../tokens/verify-token.ts'

/** What the requests about delegations work with, and the background work on them. */
export interface Delegations extends RenewalDependencies {
  /** Starts to look after them in the background; answers a function that ends it. */
  watch(): () => Promise<void>
  /** Finishes the refreshes that were begun: their answers may hold the only copy of a refresh token. */
  close(): Promise<void>
}

/** Some at once, then one every ten seconds; one every two seconds; one a minute. */
const RATES = {
  wrongSecrets: { perSecond: 0.1, burst: 20 },
  refreshes: { perSecond: 0.5, burst: 60 },
  notedRefusals: { perSecond: 1 / 60, burst: 30 },
}

/** What is there before: see `Core`. */
interface Beginnings {
  readonly loaded: { readonly configuration: Configuration; readonly dataDirectory: string }
  readonly environment?: Environment | undefined
  readonly refreshIn?: 'process' | 'here' | undefined
  readonly now: () => Date
  readonly log: Log
}

export function assembleDelegations(
  { loaded, environment = {}, refreshIn, now, log }: Beginnings,
  { verifier, issuing }: { readonly verifier: TokenVerifier; readonly issuing: IssueDependencies },
): Delegations {
  const { configuration } = loaded
  const { notice, maximum_per_identity: maximumPerIdentity } = configuration.delegations
  const directory = join(loaded.dataDirectory, 'refresh-spool')
  const helper = createRefreshHelper({ directory, environment, run: refreshIn })
  const base = {
    issuing,
    verifier,
    providers: delegationProviders(verifier.providers, { now, helper }),
    bounds: delegationBounds(configuration),
    maximumPerIdentity,
    rates: ratesBy(() => performance.now()),
    now,
    randomBytes,
    log,
  }
  const refresher = createDelegationRefresher({
    ...base,
    records: issuing.store.delegations,
    rate: base.rates.refreshes,
    helper,
  })
  return {
    ...base,
    refresher,
    watch: () =>
      watchDelegations({
        ...base,
        refresher,
        notifier: notifierOf(configuration),
        noticeDays: notice.days_before,
      }),
    close: async () => settle(refresher, configuration, log),
  }
}

function ratesBy(nowMs: () => number): DelegationRates {
  return {
    wrongSecrets: createRateLimiter({ ...RATES.wrongSecrets, nowMs }),
    refreshes: createRateLimiter({ ...RATES.refreshes, nowMs }),
    notedRefusals: createRateLimiter({ ...RATES.notedRefusals, nowMs }),
  }
}

type DelegationSettings = NonNullable<ProviderSettings['delegation']>

interface DelegationProviderParts {
  readonly now: () => Date
  /** Undefined where nothing is refreshed. */
  readonly helper?: RefreshHelper
}

/** What is not finished by then is finished by its helper, and stored by the next service. */
async function settle(
  refresher: DelegationRefresher,
  { limits, providers }: Configuration,
  log: Log,
): Promise<void> {
  const timeouts = Object.values(providers).map(
    ({ delegation }) => delegation?.timeout_seconds ?? 0,
  )
  const seconds = Math.max(limits.shutdown_seconds, Math.max(0, ...timeouts) + STORING_MS / 1000)
  await unlessAborted(refresher.settle(), AbortSignal.timeout(seconds * 1000)).catch(() =>
    log.warn(
      { event: 'delegation.refresh-left' },
      'a refresh is still under way: its answer goes into the refresh spool, and the next start records it',
    ),
  )
}

/** Our client at each provider that gives delegations. */
export function delegationProviders(
  providers: readonly Provider[],
  parts: DelegationProviderParts,
): ReadonlyMap<string, DelegationProvider> {
  const made = providers.flatMap((provider) => {
    const { delegation } = provider.settings
    return delegation === undefined ? [] : [delegationProvider(provider, delegation, parts)]
  })
  return new Map(made.map((provider) => [provider.id, provider]))
}

function delegationProvider(
  provider: Provider,
  delegation: DelegationSettings,
  { now, helper }: DelegationProviderParts,
): DelegationProvider {
  const { id, settings } = provider
  const client = delegationClientOf(settings, delegation)
  const timeoutMs = delegation.timeout_seconds * 1000
  return {
    id,
    timeoutMs,
    scopes: delegation.scopes,
    audience: delegation.audience ?? settings.audiences[0],
    client: createGrantClient({
      configuration: async () => configurationFor(await provider.configuration(), client),
      providerId: id,
      timeoutMs,
      now,
      helper,
    }),
  }
}

/** Our client for delegations: one of the section's own, or the provider's. */
function delegationClientOf(
  settings: ProviderSettings,
  delegation: DelegationSettings,
): ProviderClient {
  const own = delegation.client_id === undefined ? settings : delegation
  return { clientId: own.client_id ?? '', clientSecret: own.client_secret }
}

/** The bounds of delegations' lives. */
export function delegationBounds({ delegations, providers }: Configuration): DelegationBounds {
  return {
    maximumDays: delegations.maximum_days,
    lifetimeDays: (id) => providers[id]?.delegation?.refresh_token_lifetime_days,
  }
}

function notifierOf({ delegations }: Configuration): Notifier | undefined {
  const { command, webhook_url: url } = delegations.notice
  const notifiers = [
    ...(command === undefined ? [] : [commandNotifier(command)]),
    ...(url === undefined ? [] : [webhookNotifier(url)]),
  ]
  if (notifiers.length === 0) return undefined
  return async (facts) => {
    await Promise.all(notifiers.map(async (notify) => notify(facts)))
  }
}

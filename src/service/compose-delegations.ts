/** Assembles the delegation parts of the service; see compose.ts. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { unlessAborted } from '../base/async.ts'
import type { Environment } from '../config/load.ts'
import { requestHabits } from '../config/provider-profile.ts'
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

/** Dependencies of delegation requests, and the background tasks. */
export interface Delegations extends RenewalDependencies {
  /** Starts the background tasks, and returns a function that stops them. */
  watch(): () => Promise<void>
  /** Finishes running refreshes, because an answer may contain the only copy of a refresh token. */
  close(): Promise<void>
}

/** After the burst: one every ten seconds; one every two seconds; one a minute. */
const RATES = {
  wrongSecrets: { perSecond: 0.1, burst: 20 },
  refreshes: { perSecond: 0.5, burst: 60 },
  notedRefusals: { perSecond: 1 / 60, burst: 30 },
}

/** The needed parts of `Core`. */
interface DelegationCore {
  readonly loaded: { readonly configuration: Configuration; readonly dataDirectory: string }
  readonly environment?: Environment | undefined
  readonly refreshIn?: 'process' | 'here' | undefined
  readonly now: () => Date
  readonly log: Log
}

export function assembleDelegations(
  { loaded, environment = {}, refreshIn, now, log }: DelegationCore,
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
  /** Undefined if the caller refreshes no tokens. */
  readonly helper?: RefreshHelper
}

/**
 * Waits for running refreshes. After the timeout, the helper finishes the rest, and the next start of the service
 * stores the answers.
 */
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
      'a refresh is still running: its answer goes to the refresh spool, and the next start records it',
    ),
  )
}

/** Returns the clients for all providers with delegations. */
export function delegationProviders(
  providers: readonly Provider[],
  parts: DelegationProviderParts,
): ReadonlyMap<string, DelegationProvider> {
  const clients = providers.flatMap((provider) => {
    const { delegation } = provider.settings
    return delegation === undefined ? [] : [delegationProvider(provider, delegation, parts)]
  })
  return new Map(clients.map((provider) => [provider.id, provider]))
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
      habits: requestHabits(settings, delegation.requested_token_type),
      timeoutMs,
      now,
      helper,
    }),
  }
}

/** Returns the OAuth client for delegations: that of the section `delegation`, or that of the provider. */
function delegationClientOf(
  settings: ProviderSettings,
  delegation: DelegationSettings,
): ProviderClient {
  const own = delegation.client_id === undefined ? settings : delegation
  return {
    clientId: own.client_id ?? '',
    clientSecret: own.client_secret,
    authentication: settings.client_authentication,
  }
}

/** Returns the limits on the lifetime of delegations. */
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
  return async (notice) => {
    await Promise.all(notifiers.map(async (notify) => notify(notice)))
  }
}

import { join } from 'node:path'
import type * as oidc from 'openid-client'
import type { ProviderSettings } from '../config/provider-schema.ts'
import { runInBackground } from './background.ts'
import { discover } from './discovery.ts'
import { createKeyFile } from './key-file.ts'
import { createKeySet, type KeySet, type KeyStore } from './key-set.ts'
import { createLimitedFetch, type Fetch } from './limited-fetch.ts'
import { describeFailure, unavailable } from './refusals.ts'

/** The logger; one of pino has this type. */
export interface TokenLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** What providers need. */
export interface ProviderDependencies {
  readonly now: () => Date
  readonly log: TokenLog
  readonly fetch?: Fetch
  /** Names or paths of the claims that authorisation rules read, by provider id. */
  readonly ruleClaims?: ReadonlyMap<string, readonly string[]> | undefined
  /** Directory for the providers' keys; undefined: they are forgotten at the end of the process. */
  readonly keyDirectory?: string | undefined
  /** First and longest wait between two attempts of discovery, in milliseconds. Default 1,000 and 60,000. */
  readonly retry?: { readonly firstMs: number; readonly longestMs: number }
}

/** The status of one provider, for readiness and metrics. */
export interface ProviderStatus {
  readonly id: string
  readonly issuer: string
  /** True when its tokens can be verified: it has usable keys, and is discovered if it must be asked about tokens. */
  readonly ready: boolean
  /** When the current discovery document was fetched. */
  readonly discoveredAt: Date | undefined
  readonly keysFetchedAt: Date | undefined
  /** True while older keys and an older discovery document are used because the latest attempt failed. */
  readonly usingCached: boolean
  /** Why the latest attempt failed, in words; undefined when it succeeded. */
  readonly lastError: string | undefined
}

/** A trusted provider: its discovery document, refreshed in the background, and its keys. */
export interface Provider {
  readonly id: string
  readonly settings: ProviderSettings
  readonly keys: KeySet
  /** Names or paths of the claims that authorisation rules read for users of this provider. */
  readonly ruleClaims: readonly string[]
  /** Waits until keys can be had: those in use, or those after discovery. @throws {TtsError} `provider_unavailable` */
  ready(): Promise<void>
  /** Returns the configuration for openid-client. @throws {TtsError} `provider_unavailable` (never discovered yet) */
  configuration(): Promise<oidc.Configuration>
  /** Returns the issuer exactly as published; undefined before discovery and without stored keys. */
  publishedIssuer(): string | undefined
  status(): ProviderStatus
  close(): Promise<void>
}

/** Discovery documents and key sets are far smaller. */
const MAX_BODY_BYTES = 256 * 1024
/** Age at which the discovery document is fetched again. */
const REDISCOVERY_MS = 6 * 3600 * 1000

interface Discovered {
  readonly configuration: oidc.Configuration
  /** The same as `configuration.serverMetadata()`, which makes a copy each time. */
  readonly metadata: Readonly<oidc.ServerMetadata>
  readonly at: Date
}

/** Creates a provider and starts its discovery in the background, so that nothing waits for a provider that is down. */
export function createProvider(
  id: string,
  settings: ProviderSettings,
  dependencies: ProviderDependencies,
): Provider {
  const { now, log, retry = { firstMs: 1_000, longestMs: 60_000 } } = dependencies
  const limited = createLimitedFetch(dependencies.fetch ?? fetch, {
    timeoutMs: settings.timeout_seconds * 1000,
    maxBodyBytes: MAX_BODY_BYTES,
  })
  let discovered: Discovered | undefined
  const published = () => discovered?.metadata
  const keys = createKeySet({
    providerId: id,
    settings,
    fetch: limited.fetch,
    now,
    published,
    store: keyStoreOf(id, settings, dependencies),
  })
  const discovery = runInBackground(
    async () => {
      await keys.restore()
      discovered = { ...(await discoverProvider(settings, limited.fetch)), at: now() }
      await keys.refresh()
    },
    {
      everyMs: REDISCOVERY_MS,
      retry,
      onSuccess: () => log.info({ provider: id }, 'provider.ready'),
      onFailure: (error) =>
        log.warn({ provider: id, reason: describeFailure(error) }, 'provider.unavailable'),
    },
  )
  const configuration = async (): Promise<oidc.Configuration> => {
    if (discovered === undefined) await discovery.underWay()
    if (discovered !== undefined) return discovered.configuration
    const waitSeconds = Math.max(1, Math.ceil(discovery.untilNextMs() / 1000))
    throw unavailable(id, discovery.failure(), waitSeconds)
  }
  return {
    id,
    settings,
    keys,
    ruleClaims: dependencies.ruleClaims?.get(id) ?? [],
    configuration,
    publishedIssuer: () => published()?.issuer ?? keys.publishedIssuer(),
    ready: async () => {
      await keys.restore()
      if (!keys.usable()) await configuration()
    },
    status: () => statusOf({ id, settings, keys }, { discovered, failure: discovery.failure() }),
    close: async () => {
      discovery.close()
      limited.close()
      await keys.close()
    },
  }
}

function statusOf(
  { id, settings, keys }: Pick<Provider, 'id' | 'settings' | 'keys'>,
  {
    discovered,
    failure,
  }: { readonly discovered: Discovered | undefined; readonly failure: unknown },
): ProviderStatus {
  const mustBeAsked = settings.introspect === 'always'
  return {
    id,
    issuer: settings.issuer,
    ready: keys.usable() && (discovered !== undefined || !mustBeAsked),
    discoveredAt: discovered?.at,
    keysFetchedAt: keys.fetchedAt(),
    usingCached: failure !== undefined && keys.fetchedAt() !== undefined,
    lastError: failure === undefined ? undefined : describeFailure(failure),
  }
}

function keyStoreOf(
  id: string,
  { issuer }: ProviderSettings,
  { keyDirectory, log }: ProviderDependencies,
): KeyStore | undefined {
  if (keyDirectory === undefined) return undefined
  return createKeyFile({
    path: join(keyDirectory, `${id}.json`),
    issuer,
    onFailure: (reason) => log.warn({ provider: id, reason }, 'provider.keys-unsaved'),
  })
}

async function discoverProvider(
  settings: ProviderSettings,
  fetchFunction: Fetch,
): Promise<Omit<Discovered, 'at'>> {
  const configuration = await discover({
    issuer: settings.issuer,
    clientId: settings.client_id ?? 'tts',
    clientSecret: settings.client_secret,
    authentication: settings.client_authentication,
    required: ['jwks_uri'],
    endpoints: settings.endpoints,
    timeoutSeconds: settings.timeout_seconds,
    fetch: fetchFunction,
  })
  return { configuration, metadata: configuration.serverMetadata() }
}

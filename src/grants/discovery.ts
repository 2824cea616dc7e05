import * as oidc from 'openid-client'
import { isAcceptableUrl, type ProviderEndpoints } from '../config/provider-schema.ts'
import { createSingleFlight } from '../base/async.ts'
import { elapsedMs, type Moment, momentOf } from '../base/elapsed.ts'
import { TtsError } from '../base/errors.ts'
import {
  clientAuthenticationOf,
  clientMetadata,
  clientOf,
  discover,
  type ProviderClient,
} from '../tokens/discovery.ts'
import { createLimitedFetch, type Fetch } from '../tokens/limited-fetch.ts'
import { failureOf } from './refusals.ts'

/** A provider to discover for grants, and our client there. */
export interface GrantProvider extends ProviderClient {
  /** The issuer URL; one trailing slash is ignored. */
  readonly issuer: string
  /** Name of the provider in messages. */
  readonly providerId: string
  readonly timeoutMs: number
  /** Endpoints that replace those of the discovery document. */
  readonly endpoints?: ProviderEndpoints
  /** Default: the global `fetch`. */
  readonly fetch?: Fetch
}

const MAX_BODY_BYTES = 256 * 1024
/** Age at which the discovery document is fetched again. */
const REDISCOVERY_MS = 6 * 3600 * 1000

/**
 * Discovers a provider once.
 *
 * @throws {TtsError} `configuration`, check `issuer` (not an https URL, nor http on this machine);
 * `provider_unavailable`
 */
export async function discoverGrantConfiguration(
  provider: GrantProvider,
): Promise<oidc.Configuration> {
  const { issuer, providerId, timeoutMs } = provider
  if (!isAcceptableUrl(issuer)) {
    throw new TtsError('configuration', 'the issuer is not an acceptable URL', {
      check: 'issuer',
      remedy: 'Give an https URL without query, fragment or user (http only for this machine).',
    })
  }
  const limited = createLimitedFetch(provider.fetch ?? fetch, {
    timeoutMs,
    maxBodyBytes: MAX_BODY_BYTES,
  })
  try {
    return await discover({
      ...provider,
      required: ['token_endpoint'],
      timeoutSeconds: timeoutMs / 1000,
      fetch: limited.fetch,
    })
  } catch (error) {
    throw failureOf(error, providerId, false)
  }
}

/**
 * Returns a function that returns the configuration: discovered at the first call and again after `maxAgeMs` (default
 * six hours). Failures are not cached.
 */
export function rememberedConfiguration(
  provider: GrantProvider,
  now: () => Date,
  maxAgeMs = REDISCOVERY_MS,
): () => Promise<oidc.Configuration> {
  let known: { readonly configuration: oidc.Configuration; readonly at: Moment } | undefined
  const discovering = createSingleFlight<oidc.Configuration>()

  async function rediscover(): Promise<oidc.Configuration> {
    try {
      const configuration = await discoverGrantConfiguration(provider)
      known = { configuration, at: momentOf(now) }
      return configuration
    } catch (error) {
      // Use the old configuration: endpoints seldom change.
      if (known !== undefined) return known.configuration
      throw error
    }
  }

  return async () => {
    if (known !== undefined && elapsedMs(known.at, now) < maxAgeMs) return known.configuration
    return discovering.run(rediscover)
  }
}

/** Returns a configuration for another client at the same provider. */
export function configurationFor(
  configuration: oidc.Configuration,
  client: ProviderClient,
): oidc.Configuration {
  return build(configuration, client)
}

/** Returns the same configuration with another `fetch`, which must have its own deadline and limits. */
export function configurationWith(
  configuration: oidc.Configuration,
  fetchFunction: Fetch,
): oidc.Configuration {
  const own = build(configuration, clientOf(configuration))
  own[oidc.customFetch] = fetchFunction as oidc.CustomFetch
  own.timeout = undefined
  return own
}

function build(configuration: oidc.Configuration, client: ProviderClient): oidc.Configuration {
  const own = new oidc.Configuration(
    configuration.serverMetadata(),
    client.clientId,
    clientMetadata(client),
    clientAuthenticationOf(client),
  )
  // The limited fetch enforces https, except for this machine.
  oidc.allowInsecureRequests(own)
  return own
}

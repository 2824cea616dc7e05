import * as oidc from 'openid-client'
import { isAcceptableUrl } from '../config/provider-schema.ts'
import { createSingleFlight } from '../base/async.ts'
import { TtsError } from '../base/errors.ts'
import {
  clientAuthenticationOf,
  clientMetadata,
  discover,
  type ProviderClient,
} from '../tokens/discovery.ts'
import { createLimitedFetch, type Fetch } from '../tokens/limited-fetch.ts'
import { failureOf } from './refusals.ts'

/** A provider to be discovered for grants, and our client there. */
export interface GrantProvider extends ProviderClient {
  /** The issuer URL; one trailing slash more or less makes no difference. */
  readonly issuer: string
  /** How the provider is called in messages. */
  readonly providerId: string
  readonly timeoutMs: number
  /** Default: the platform's. */
  readonly fetch?: Fetch
}

const MAX_BODY_BYTES = 256 * 1024
/** A discovery document is fetched anew after this. */
const REDISCOVERY_MS = 6 * 3600 * 1000

/**
 * Discovers a provider once.
 * @throws {TtsError} `configuration` for an issuer that is no https URL (or this machine); `provider_unavailable`
 */
export async function discoverGrantConfiguration(
  provider: GrantProvider,
): Promise<oidc.Configuration> {
  const { issuer, clientId, clientSecret, providerId, timeoutMs } = provider
  if (!isAcceptableUrl(issuer)) {
    throw new TtsError('configuration', 'the issuer is not a URL that may be asked', {
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
      issuer,
      clientId,
      clientSecret,
      required: ['token_endpoint'],
      timeoutSeconds: timeoutMs / 1000,
      fetch: limited.fetch,
    })
  } catch (error) {
    throw failureOf(error, providerId, false)
  }
}

/** The same, discovered when first asked for and again after six hours or `maxAgeMs`; a failure is not remembered. */
export function rememberedConfiguration(
  provider: GrantProvider,
  now: () => Date,
  maxAgeMs = REDISCOVERY_MS,
): () => Promise<oidc.Configuration> {
  let known: { readonly configuration: oidc.Configuration; readonly at: number } | undefined
  const asking = createSingleFlight<oidc.Configuration>()

  async function ask(): Promise<oidc.Configuration> {
    try {
      const configuration = await discoverGrantConfiguration(provider)
      known = { configuration, at: now().getTime() }
      return configuration
    } catch (error) {
      // What was found before is better than nothing: endpoints seldom move.
      if (known !== undefined) return known.configuration
      throw error
    }
  }

  return async () => {
    const age = known === undefined ? Infinity : now().getTime() - known.at
    if (known !== undefined && age >= 0 && age < maxAgeMs) return known.configuration
    return asking.run(ask)
  }
}

/** A configuration for another client at a provider that is discovered already. */
export function configurationFor(
  configuration: oidc.Configuration,
  client: ProviderClient,
): oidc.Configuration {
  return build(configuration, client)
}

/** The same configuration, asking by `fetchFunction`, which has deadlines and bounds of its own. */
export function configurationWith(
  configuration: oidc.Configuration,
  fetchFunction: Fetch,
): oidc.Configuration {
  const { client_id: clientId, client_secret: secret } = configuration.clientMetadata()
  const clientSecret = typeof secret === 'string' ? secret : undefined
  const own = build(configuration, { clientId, clientSecret })
  own[oidc.customFetch] = fetchFunction as oidc.CustomFetch
  own.timeout = undefined
  return own
}

function build(configuration: oidc.Configuration, client: ProviderClient): oidc.Configuration {
  const own = new oidc.Configuration(
    configuration.serverMetadata(),
    client.clientId,
    clientMetadata(client.clientSecret),
    clientAuthenticationOf(client.clientSecret),
  )
  // limited-fetch decides instead: https, or http on this machine.
  oidc.allowInsecureRequests(own)
  return own
}

import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import type { ProviderSettings } from '../config/provider-schema.ts'
import type { Fetch } from './limited-fetch.ts'
import { providerFault, unavailable } from './refusals.ts'

/** Pause after a failed fetch, however many tokens need the keys. */
const FAILURE_COOLDOWN_MS = 5_000

/** Options of a key set. */
export interface KeySetOptions {
  readonly providerId: string
  readonly settings: Pick<
    ProviderSettings,
    'jwks_refresh_seconds' | 'jwks_maximum_age_seconds' | 'jwks_cooldown_seconds'
  >
  readonly fetch: Fetch
  readonly now: () => Date
  /** Returns `jwks_uri` of the newest discovery document. */
  readonly uri: () => string
}

/** The published keys of one provider, cached. */
export interface KeySet {
  /**
   * Finds the key of a token for jose.
   *
   * @throws jose's JWKSNoMatchingKey
   * @throws {TtsError} `provider_unavailable` (no key set, or only one that is too old)
   */
  readonly getKey: JWTVerifyGetKey
  /** Fetches the key set now, or joins the fetch under way. @throws {TtsError} `provider_unavailable` */
  refresh(): Promise<void>
  /** When the current keys were fetched. */
  fetchedAt(): Date | undefined
  /** Whether there are keys, and they are not too old to be used. */
  usable(): boolean
}

interface Cached {
  readonly find: JWTVerifyGetKey
  readonly fetchedAtMs: number
}

/**
 * Creates a cached key set (RFC 7517). It follows key rotation and survives an outage of the provider. An unknown key
 * id causes a new fetch, but at most one per cooldown.
 */
export function createKeySet(options: KeySetOptions): KeySet {
  const { settings, now, providerId } = options
  let cached: Cached | undefined
  let pending: Promise<void> | undefined
  let lastFailure: { readonly atMs: number; readonly error: unknown } | undefined

  const ageSeconds = (): number =>
    cached === undefined ? Infinity : (now().getTime() - cached.fetchedAtMs) / 1000
  const usable = (): boolean => ageSeconds() <= settings.jwks_maximum_age_seconds
  /** Too young for another fetch to find new keys. */
  const isFresh = (): boolean => ageSeconds() < settings.jwks_cooldown_seconds

  async function load(): Promise<void> {
    try {
      const keys = await fetchKeys(options)
      cached = { find: createLocalJWKSet(keys), fetchedAtMs: now().getTime() }
      lastFailure = undefined
    } catch (error) {
      lastFailure = { atMs: now().getTime(), error }
      throw unavailable(providerId, error)
    }
  }

  function refresh(): Promise<void> {
    if (pending !== undefined) return pending
    if (lastFailure !== undefined && now().getTime() - lastFailure.atMs < FAILURE_COOLDOWN_MS) {
      return Promise.reject(unavailable(providerId, lastFailure.error))
    }
    pending = load().finally(() => {
      pending = undefined
    })
    return pending
  }

  const getKey: JWTVerifyGetKey = async (header, token) => {
    if (!usable()) await refresh()
    else if (ageSeconds() > settings.jwks_refresh_seconds) refresh().catch(() => undefined)
    try {
      return await requireKeys(cached)(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || isFresh()) throw error
      await refresh()
      return requireKeys(cached)(header, token)
    }
  }

  return {
    getKey,
    refresh,
    usable,
    fetchedAt: () => (cached === undefined ? undefined : new Date(cached.fetchedAtMs)),
  }
}

function requireKeys(cached: Cached | undefined): JWTVerifyGetKey {
  if (cached === undefined) throw new errors.JWKSNoMatchingKey()
  return cached.find
}

async function fetchKeys(options: KeySetOptions): Promise<JSONWebKeySet> {
  const response = await options.fetch(options.uri(), {
    headers: { accept: 'application/jwk-set+json, application/json' },
  })
  if (response.status !== 200) throw providerFault(`its key set answered HTTP ${response.status}`)
  const body = (await response.json().catch(() => undefined)) as JSONWebKeySet | undefined
  if (!Array.isArray(body?.keys))
    throw providerFault('its key set is not valid JSON with a list of keys')
  return body
}

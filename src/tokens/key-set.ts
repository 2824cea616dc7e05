import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import type { ProviderSettings } from '../config/provider-schema.ts'
import type { Fetch } from './limited-fetch.ts'
import { providerFault, unavailable } from './refusals.ts'

/** After a failed fetch the next one waits this long, however many tokens ask for it. */
const FAILURE_COOLDOWN_MS = 5_000

/** What a key set needs. */
export interface KeySetOptions {
  readonly providerId: string
  readonly settings: Pick<
    ProviderSettings,
    'jwks_refresh_seconds' | 'jwks_maximum_age_seconds' | 'jwks_cooldown_seconds'
  >
  readonly fetch: Fetch
  readonly now: () => Date
  /** Answers `jwks_uri` of the newest discovery document. */
  readonly uri: () => string
}

/** The published keys of one provider, cached. */
export interface KeySet {
  /**
   * Finds the key of a token for jose. Throws jose's JWKSNoMatchingKey, or TtsError `provider_unavailable` when no usable
   * key set could be had.
   */
  readonly getKey: JWTVerifyGetKey
  /** Fetches the key set now, or joins a fetch under way. */
  refresh(): Promise<void>
  /** When the keys in use were fetched. */
  fetchedAt(): Date | undefined
  /** Whether there are keys young enough to be used. */
  usable(): boolean
}

interface Cached {
  readonly find: JWTVerifyGetKey
  readonly fetchedAtMs: number
}

/**
 * A key set (RFC 7517) that follows key rotation and outlives an outage of its provider. An unknown key id makes it look
 * again, but a flood of them makes one request per cooldown.
 */
export function createKeySet(options: KeySetOptions): KeySet {
  const { settings, now, providerId } = options
  let cached: Cached | undefined
  let pending: Promise<void> | undefined
  let lastFailure: { readonly atMs: number; readonly error: unknown } | undefined

  const ageSeconds = (): number =>
    cached === undefined ? Infinity : (now().getTime() - cached.fetchedAtMs) / 1000
  const usable = (): boolean => ageSeconds() <= settings.jwks_maximum_age_seconds
  /** Looking again would hardly tell anything new. */
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
      return await found(cached)(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || isFresh()) throw error
      await refresh()
      return found(cached)(header, token)
    }
  }

  return {
    getKey,
    refresh,
    usable,
    fetchedAt: () => (cached === undefined ? undefined : new Date(cached.fetchedAtMs)),
  }
}

function found(cached: Cached | undefined): JWTVerifyGetKey {
  if (cached === undefined) throw new errors.JWKSNoMatchingKey()
  return cached.find
}

async function fetchKeys(options: KeySetOptions): Promise<JSONWebKeySet> {
  const response = await options.fetch(options.uri(), {
    headers: { accept: 'application/jwk-set+json, application/json' },
  })
  if (response.status !== 200) throw providerFault(`its key set answered HTTP ${response.status}`)
  const body = (await response.json().catch(() => undefined)) as JSONWebKeySet | undefined
  if (!Array.isArray(body?.keys)) throw providerFault('its key set could not be understood')
  return body
}

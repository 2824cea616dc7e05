import {
  createLocalJWKSet,
  decodeJwt,
  errors,
  type JSONWebKeySet,
  jwtVerify,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  type JWTVerifyResult,
} from 'jose'
import type { ProviderSettings } from '../config/provider-schema.ts'
import { createSingleFlight } from '../base/async.ts'
import { elapsedMs, type Moment, momentOf } from '../base/elapsed.ts'
import type { TtsError } from '../base/errors.ts'
import type { Fetch } from './limited-fetch.ts'
import { keysMayHaveChanged, providerFault, unavailable } from './refusals.ts'

/** Pause after a failed fetch, however many tokens need the keys. */
const FAILURE_COOLDOWN_MS = 5_000

/** Clocks in order differ by less. A token this much older than the keys was signed before they were fetched. */
const CLOCK_DIFFERENCE_MS = 10_000

/** At most this many keys are tried for a token that names none. */
const MAX_KEYS_TRIED = 8

/** A key set as it was fetched. */
export interface FetchedKeys {
  readonly keys: JSONWebKeySet
  /** Where it was fetched. */
  readonly uri: string
  /** Issuer exactly as in the discovery document. */
  readonly issuer: string
  readonly fetchedAt: Date
}

/** Keeps the newest key set of one provider over restarts. */
export interface KeyStore {
  /** Never rejects: a file that cannot be used is the same as none. */
  load(): Promise<FetchedKeys | undefined>
  /** Never rejects. */
  save(fetched: FetchedKeys): Promise<void>
}

/** Options of a key set. */
export interface KeySetOptions {
  readonly providerId: string
  readonly settings: Pick<
    ProviderSettings,
    'jwks_refresh_seconds' | 'jwks_maximum_age_seconds' | 'jwks_cooldown_seconds'
  >
  readonly fetch: Fetch
  readonly now: () => Date
  /** Returns the newest discovery document; undefined before discovery. */
  readonly published: () =>
    { readonly issuer: string; readonly jwks_uri?: string | undefined } | undefined
  readonly store?: KeyStore | undefined
}

/** The published keys of one provider, cached. */
export interface KeySet {
  /**
   * Verifies signature and claims of a JWT by jose. If no key fits, fetches the keys again, at most once per
   * cooldown, and tries again: a provider may publish a new key under a new key id or, like INDIGO IAM, under the old
   * one.
   *
   * @throws what jose's `jwtVerify` throws
   * @throws {TtsError} `provider_unavailable` (no key set, or only one that is too old; or, check `key`, the token is
   * newer than the keys, which cannot be fetched again yet)
   */
  verify(token: string, options: JWTVerifyOptions): Promise<JWTVerifyResult>
  /** Reads the keys of an earlier process, once. */
  restore(): Promise<void>
  /** Fetches the key set now, or joins the fetch under way. @throws {TtsError} `provider_unavailable` */
  refresh(): Promise<void>
  /** Returns the issuer exactly as published when the current keys were fetched; undefined without keys. */
  publishedIssuer(): string | undefined
  /** When the current keys were fetched. */
  fetchedAt(): Date | undefined
  /** Seconds since the current keys were fetched; infinite without keys. */
  ageSeconds(): number
  /** Whether there are keys, and they are not too old to be used. */
  usable(): boolean
  /** Resolves when nothing is written any more, now and later. */
  close(): Promise<void>
}

interface Cached {
  readonly find: JWTVerifyGetKey
  readonly uri: string
  readonly issuer: string
  readonly fetched: Moment
}

/**
 * Creates a cached key set (RFC 7517). It follows key rotation and survives an outage of the provider and a restart.
 */
export function createKeySet(options: KeySetOptions): KeySet {
  const { settings, providerId } = options
  const cache = createKeyCache(options)

  /** Fetches the keys again unless they are fresh. Returns why no newer keys are known. */
  async function refetch(mismatch: unknown): Promise<TtsError | undefined> {
    const waitSeconds = Math.ceil(settings.jwks_cooldown_seconds - cache.ageSeconds())
    if (waitSeconds > 0) return keysMayHaveChanged(providerId, waitSeconds, mismatch)
    try {
      await cache.refresh()
      return undefined
    } catch (error) {
      return error as TtsError
    }
  }

  /** By its unverified `iat`: whoever forges that gains nothing but the advice to try again. */
  const isOlderThanKeys = (token: string): boolean => {
    const { iat } = decodeJwt(token)
    const fetchedAtMs = cache.fetchedAt()?.getTime() ?? -Infinity
    return iat !== undefined && iat * 1000 < fetchedAtMs - CLOCK_DIFFERENCE_MS
  }

  return {
    restore: cache.restore,
    refresh: cache.refresh,
    usable: cache.usable,
    close: cache.close,
    fetchedAt: cache.fetchedAt,
    ageSeconds: cache.ageSeconds,
    publishedIssuer: () => cache.current()?.issuer,
    async verify(token, verifyOptions) {
      if (!cache.usable()) await cache.refresh()
      else if (cache.ageSeconds() > settings.jwks_refresh_seconds)
        cache.refresh().catch(() => undefined)
      const tried = cache.current()
      try {
        return await verifyWithAnyKey(token, requireKeys(tried), verifyOptions)
      } catch (error) {
        if (!isKeyMismatch(error)) throw error
        // Unless the keys were fetched again meanwhile.
        const notRefreshed = cache.current() === tried ? await refetch(error) : undefined
        if (notRefreshed !== undefined) throw isOlderThanKeys(token) ? error : notRefreshed
        return await verifyWithAnyKey(token, requireKeys(cache.current()), verifyOptions)
      }
    },
  }
}

/** The newest keys, from the provider or from an earlier process. */
interface KeyCache extends Omit<KeySet, 'verify' | 'publishedIssuer'> {
  current(): Cached | undefined
}

function createKeyCache({ settings, now, providerId, store, ...source }: KeySetOptions): KeyCache {
  const fetching = createSingleFlight<void>()
  let cached: Cached | undefined
  let restoring: Promise<void> | undefined
  let saving: Promise<void> | undefined
  let isClosed = false
  let lastFailure: { readonly at: Moment; readonly error: unknown } | undefined

  const ageSeconds = (): number =>
    cached === undefined ? Infinity : elapsedMs(cached.fetched, now) / 1000

  async function load(): Promise<void> {
    try {
      const published = source.published()
      const uri = published?.jwks_uri ?? cached?.uri ?? ''
      const issuer = published?.issuer ?? cached?.issuer ?? ''
      const keys = await fetchKeys(source.fetch, uri)
      const fetched = momentOf(now)
      cached = { find: createLocalJWKSet(keys), uri, issuer, fetched }
      lastFailure = undefined
      const fetchedAt = new Date(fetched.wallMs)
      if (!isClosed) saving = store?.save({ keys, uri, issuer, fetchedAt })
    } catch (error) {
      lastFailure = { at: momentOf(now), error }
      throw unavailable(providerId, error)
    }
  }

  async function loadStored(): Promise<void> {
    const stored = await store?.load()
    // Keys from the future would never be fetched again: the clock was set back.
    if (stored === undefined || stored.fetchedAt > now() || cached !== undefined) return
    const { keys, uri, issuer, fetchedAt } = stored
    const ageMs = now().getTime() - fetchedAt.getTime()
    const fetched = { wallMs: fetchedAt.getTime(), steadyMs: performance.now() - ageMs }
    cached = { find: createLocalJWKSet(keys), uri, issuer, fetched }
  }

  return {
    current: () => cached,
    ageSeconds,
    fetchedAt() {
      if (cached === undefined) return undefined
      const { wallMs } = cached.fetched
      const nowMs = now().getTime()
      // In the future: the clock was set back since.
      return new Date(wallMs <= nowMs ? wallMs : nowMs - ageSeconds() * 1000)
    },
    usable: () => ageSeconds() <= settings.jwks_maximum_age_seconds,
    restore: () => (restoring ??= loadStored()),
    close: async () => {
      isClosed = true
      await saving
    },
    refresh: async () => {
      const isPaused =
        lastFailure !== undefined && elapsedMs(lastFailure.at, now) < FAILURE_COOLDOWN_MS
      if (fetching.current === undefined && isPaused)
        throw unavailable(providerId, lastFailure?.error)
      return fetching.run(load)
    },
  }
}

/** Several keys may match a token without `kid`: tries each of them. */
async function verifyWithAnyKey(
  token: string,
  getKey: JWTVerifyGetKey,
  options: JWTVerifyOptions,
): Promise<JWTVerifyResult> {
  try {
    return await jwtVerify(token, getKey, options)
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    let tried = 0
    for await (const key of error) {
      tried += 1
      if (tried > MAX_KEYS_TRIED) break
      try {
        return await jwtVerify(token, key, options)
      } catch (failure) {
        if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw failure
      }
    }
    throw new errors.JWSSignatureVerificationFailed()
  }
}

/** Whether other keys could verify the token. */
const isKeyMismatch = (error: unknown): boolean =>
  error instanceof errors.JWKSNoMatchingKey ||
  error instanceof errors.JWSSignatureVerificationFailed

function requireKeys(cached: Cached | undefined): JWTVerifyGetKey {
  if (cached === undefined) throw new errors.JWKSNoMatchingKey()
  return cached.find
}

async function fetchKeys(fetchFunction: Fetch, uri: string): Promise<JSONWebKeySet> {
  const response = await fetchFunction(uri, {
    headers: { accept: 'application/jwk-set+json, application/json' },
  })
  if (response.status !== 200) throw providerFault(`its key set answered HTTP ${response.status}`)
  const body = (await response.json().catch(() => undefined)) as JSONWebKeySet | undefined
  if (!Array.isArray(body?.keys))
    throw providerFault('its key set is not valid JSON with a list of keys')
  return body
}

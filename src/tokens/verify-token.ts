import type { ProviderProfile } from '../config/provider-profile.ts'
import { withoutTrailingSlash, type ProviderSettings } from '../config/provider-schema.ts'
import { TtsError } from '../base/errors.ts'
import { addressKey } from '../limits/address-key.ts'
import { createRateLimiter } from '../limits/rate-limiter.ts'
import { adviceOn } from './advice.ts'
import { clientIdOf, scopesOf, shownValues } from './claim-values.ts'
import {
  checkScopes,
  checkUser,
  type KnownClaims,
  requirePerson,
  speakerOf,
} from './identity-checks.ts'
import { checkIntrospection, fetchIntrospection } from './introspection.ts'
import {
  checkTokenText,
  DEFAULT_TOKEN_BYTES,
  readUnverified,
  verifyJwt,
  type UnverifiedJwt,
} from './jwt.ts'
import { lookUpOpaque, lookupEndpoint, type OpaqueLookup } from './opaque-token.ts'
import {
  createProvider,
  type Provider,
  type ProviderDependencies,
  type ProviderStatus,
} from './providers.ts'
import { refusal } from './refusals.ts'
import { combineVerified, groupByIssuer, providersOfIssuer } from './shared-issuer.ts'
import { createTokenCache, type Remembered } from './token-cache.ts'
import { fetchUserInfo, mergeUserInfo, wantsUserInfo } from './userinfo.ts'
import type { VerifiedToken } from './verified-token.ts'

/** What the verifier needs. */
export interface TokenVerifierDependencies extends ProviderDependencies {
  /** Settings by provider id. */
  readonly providers: Readonly<Record<string, ProviderSettings>>
  /**
   * Rate of opaque tokens per address, because each may cost requests to several providers. Default: 10 per second,
   * burst 100.
   */
  readonly opaqueTokens?: { readonly perSecond: number; readonly burst: number }
  /** Maximum size of a token. Default `DEFAULT_TOKEN_BYTES`. */
  readonly maxTokenBytes?: number
}

/** Turns bearer tokens into verified ones. */
export interface TokenVerifier {
  /**
   * Verifies a token.
   *
   * @param caller.signal ends the wait of this caller only; the verification continues
   * @param caller.address address of the client, for rate limits; undefined for tokens that the service itself obtained
   * @throws {TtsError} `invalid_token` (`check` names the failed check), `insufficient_scope`,
   *   `provider_unavailable`, `overloaded`, `limit_reached`
   * @see RFC 6750 section 3.1
   */
  verify(
    token: string,
    caller?: {
      readonly signal?: AbortSignal | undefined
      readonly address?: string | undefined
    },
  ): Promise<VerifiedToken>
  /**
   * Returns an issuer exactly as its provider publishes it. Issuers of no provider (relying services, providers that
   * were removed from the configuration) are returned unchanged.
   *
   * @param issuer without a trailing slash, as in `VerifiedToken`
   * @throws {TtsError} `provider_unavailable` (the provider was never reached)
   */
  publishedIssuer(issuer: string): Promise<string>
  /** Returns the status of each provider. */
  status(): readonly ProviderStatus[]
  /** The providers themselves, for `explainToken`. */
  readonly providers: readonly Provider[]
  readonly maxTokenBytes: number
  /** Stops all background work. */
  close(): Promise<void>
}

const DEFAULT_OPAQUE_RATE = { perSecond: 10, burst: 100 }

/** Creates the verifier and starts the discovery of all providers in the background. */
export function createTokenVerifier(dependencies: TokenVerifierDependencies): TokenVerifier {
  const { now, maxTokenBytes = DEFAULT_TOKEN_BYTES } = dependencies
  const providers = Object.entries(dependencies.providers).map(([id, settings]) =>
    createProvider(id, settings, dependencies),
  )
  const cache = createTokenCache({ now })
  const opaque = createRateLimiter({
    ...(dependencies.opaqueTokens ?? DEFAULT_OPAQUE_RATE),
    nowMs: () => performance.now(),
  })
  return {
    providers,
    maxTokenBytes,
    verify: async (token, { signal, address } = {}) => {
      checkTokenText(token, maxTokenBytes)
      const key = address === undefined ? undefined : addressKey(address)
      const verify = (): Promise<Remembered> => {
        if (key !== undefined && readUnverified(token) === undefined) requireRate(opaque.take(key))
        return verifyToken(token, providers, now)
      }
      const verified = cache.resolve(token, verify, key)
      return signal === undefined ? verified : abandonable(verified, signal)
    },
    publishedIssuer: async (issuer) => {
      const provider = providers.find(
        ({ settings }) => withoutTrailingSlash(settings.issuer) === issuer,
      )
      if (provider === undefined) return issuer
      await provider.ready()
      return provider.publishedIssuer() ?? provider.settings.issuer
    },
    status: () => providers.map((provider) => provider.status()),
    close: async () => {
      await Promise.all(providers.map(async (provider) => provider.close()))
    },
  }
}

/** @throws {TtsError} `limit_reached`, check `introspection_rate` */
function requireRate(retryAfterSeconds: number): void {
  if (retryAfterSeconds === 0) return
  throw new TtsError('limit_reached', 'too many opaque tokens from your address', {
    check: 'introspection_rate',
    remedy:
      'Raise limits.opaque_tokens_per_second_per_address if more opaque tokens may be looked up.',
    retryAfterSeconds,
  })
}

/** Verifies a token, from its text to the merged claims. */
async function verifyToken(
  token: string,
  providers: readonly Provider[],
  now: () => Date,
): Promise<Remembered> {
  const unverified = readUnverified(token)
  return unverified === undefined
    ? verifyOpaque(token, providers, now)
    : verifyAtEach(token, findProvider(unverified, providers), { providers, now })
}

async function verifySigned(
  token: string,
  provider: Provider,
  now: () => Date,
): Promise<Remembered> {
  const jwt = await verifyJwt(token, provider, now())
  if (provider.settings.introspect !== 'always') {
    const known = { claims: jwt.claims, sources: [jwt.claims] }
    return finish(token, { provider, known, introspected: false }, now)
  }
  const answer = await fetchIntrospection(token, provider)
  const known = checkIntrospection(answer, provider, { now: now(), jwt })
  return finish(token, { provider, known, introspected: true }, now)
}

/** Verifies a signed token by all providers that have the issuer of this one. */
async function verifyAtEach(
  token: string,
  first: Provider,
  { providers, now }: { readonly providers: readonly Provider[]; readonly now: () => Date },
): Promise<Remembered> {
  const candidates = providersOfIssuer(first, providers)
  if (candidates.length === 1) return verifySigned(token, first, now)
  return combineVerified(
    await Promise.allSettled(candidates.map((provider) => verifySigned(token, provider, now))),
  )
}

/**
 * An opaque token does not name its issuer, so all providers with introspection are asked at the same time. The first
 * one that knows the token decides, whatever the others do.
 */
async function verifyOpaque(
  token: string,
  providers: readonly Provider[],
  now: () => Date,
): Promise<Remembered> {
  const candidates = providers.filter(({ settings }) => settings.introspect !== 'never')
  const decided = Promise.withResolvers<Remembered>()
  const lookups = groupByIssuer(candidates).map(async (group) => {
    const found = await lookUpAtEach(token, group, now)
    if (typeof found === 'object' && 'token' in found) decided.resolve(found)
    return found
  })
  Promise.all(lookups).then(
    (results) => decided.reject(nobodyKnows(candidates, results)),
    decided.reject,
  )
  return await decided.promise
}

/** The token, or why the provider does not decide: it does not know the token, cannot be asked, or does not answer. */
type Lookup = Remembered | 'unknown' | 'no_endpoint' | TtsError

/** Looks a token up at the providers of one issuer. @throws {TtsError} as `lookUp` */
async function lookUpAtEach(
  token: string,
  group: readonly Provider[],
  now: () => Date,
): Promise<Lookup> {
  const [only] = group
  if (group.length === 1 && only !== undefined) return lookUp(token, only, now)
  const results = await Promise.allSettled(group.map((provider) => lookUp(token, provider, now)))
  const lookups = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  // An outage decides for all ids, as in `combineVerified`. It is returned: another issuer may know the token.
  const outage = lookups.find((lookup) => lookup instanceof TtsError)
  if (outage !== undefined) return outage
  const isKnown = (result: (typeof results)[number]): result is PromiseSettledResult<Remembered> =>
    result.status === 'rejected' || (typeof result.value === 'object' && 'token' in result.value)
  const known = results.filter(isKnown)
  return known.length > 0 ? combineVerified(known) : (lookups[0] ?? 'unknown')
}

/** @throws {TtsError} the refusal of a token that the provider knows */
async function lookUp(token: string, provider: Provider, now: () => Date): Promise<Lookup> {
  let known: OpaqueLookup
  try {
    known = await lookUpOpaque(token, provider, now())
  } catch (error) {
    if (error instanceof TtsError && error.code === 'provider_unavailable') return error
    throw error
  }
  if (typeof known === 'string') return known
  return finish(token, { provider, known, introspected: true }, now)
}

interface CheckedToken {
  readonly provider: Provider
  readonly known: KnownClaims
  readonly introspected: boolean
}

/** The last steps for JWTs and opaque tokens: user, scopes, UserInfo. */
async function finish(token: string, checked: CheckedToken, now: () => Date): Promise<Remembered> {
  const { provider, known } = checked
  const { settings } = provider
  checkUser(known.sources, settings)
  checkScopes(known.claims, settings)
  const askUserInfo = wantsUserInfo(known, provider)
  const all = askUserInfo
    ? mergeUserInfo(known, await fetchUserInfo(token, String(known.claims['sub']), provider))
    : known
  // UserInfo may show that a "user" is the service account of a client, or that an unclear subject is a person.
  requirePerson(all.sources, settings)
  const verified = verifiedToken(provider, all)
  const cacheSeconds =
    checked.introspected || askUserInfo
      ? Math.min(settings.introspection_cache_seconds, settings.token_cache_seconds)
      : settings.token_cache_seconds
  const untilMs = Math.min(now().getTime() + cacheSeconds * 1000, verified.expiresAt.getTime())
  return { token: verified, untilMs }
}

function verifiedToken(provider: Provider, { claims, sources }: KnownClaims): VerifiedToken {
  const { id, settings } = provider
  const publishedIssuer = provider.publishedIssuer()
  return Object.freeze({
    providerId: id,
    profile: settings.profile,
    // Without the slash: the issuer identifies users, so adding or removing a slash in the settings must not create
    // new ones.
    issuer: withoutTrailingSlash(settings.issuer),
    publishedIssuer: publishedIssuer ?? settings.issuer,
    sub: String(claims['sub']),
    claims: Object.freeze({ ...claims }),
    scopes: Object.freeze([...scopesOf(claims)]),
    clientId: clientIdOf(claims),
    clientOnly: speakerOf(sources) !== 'person',
    expiresAt: new Date(Number(claims['exp']) * 1000),
  })
}

/**
 * Returns the trusted provider that an unverified token names as its issuer.
 *
 * @throws {TtsError} `invalid_token`, check `issuer` (not a trusted issuer)
 */
export function findProvider(token: UnverifiedJwt, providers: readonly Provider[]): Provider {
  const { iss } = token.claims
  const issuer = typeof iss === 'string' ? withoutTrailingSlash(iss) : undefined
  const provider = providers.find(
    ({ settings }) => withoutTrailingSlash(settings.issuer) === issuer,
  )
  if (provider !== undefined) return provider
  if (iss === undefined)
    throw refusal(
      'issuer',
      'the token does not name its issuer (claim iss)',
      'Send the access token: refresh tokens of INDIGO IAM, for example, are JWTs without issuer.',
    )
  throw refusal(
    'issuer',
    'the token comes from an issuer that is not trusted here',
    `The token is from ${shownValues([iss])}; trusted: ${shownValues(providers.map(({ settings }) => settings.issuer))}. Add the issuer under \`providers\`, exactly as in the claim iss (one trailing slash does not matter).`,
  )
}

/** Returns the product of all these providers, if it is the same. */
function profileOf([first, ...others]: readonly Provider[]): ProviderProfile {
  const profile = first?.settings.profile ?? 'generic'
  return others.every(({ settings }) => settings.profile === profile) ? profile : 'generic'
}

function nobodyKnows(candidates: readonly Provider[], results: readonly Lookup[]): TtsError {
  const outage = results.find((result) => result instanceof TtsError)
  if (outage !== undefined) return outage
  if (candidates.length === 0)
    return refusal(
      'format',
      'the token is not a signed JWT, and introspection is not configured for any provider',
      'Set introspect: opaque, with client_id and client_secret_file, for the provider that issues such tokens.',
    )
  if (results.every((result) => result === 'no_endpoint')) {
    const missing = candidates.map((one) => `${one.id} has no ${lookupEndpoint(one)} endpoint`)
    const lacksIntrospection = candidates.some((one) => lookupEndpoint(one) === 'introspection')
    return refusal(
      'format',
      `the token is not a signed JWT, and no provider can be asked about it (${missing.join(', ')})`,
      lacksIntrospection
        ? `Send a JWT. ${adviceOn('no_introspection_endpoint', profileOf(candidates))}`
        : 'Send a JWT, or set endpoints.userinfo of the provider.',
    )
  }
  return refusal(
    'active',
    'the token is not active at any provider: unknown, expired or revoked',
    adviceOn('inactive', profileOf(candidates)),
  )
}

/** Stops waiting when the caller's signal is aborted; the verification continues for other callers. */
async function abandonable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abandon = (): void =>
      reject(
        new TtsError('provider_unavailable', 'the token could not be verified in time', {
          check: 'provider',
          retryAfterSeconds: 5,
        }),
      )
    if (signal.aborted) abandon()
    signal.addEventListener('abort', abandon, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abandon))
  })
}

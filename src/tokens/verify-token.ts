import { withoutTrailingSlash, type ProviderSettings } from '../config/provider-schema.ts'
import { TtsError } from '../base/errors.ts'
import { addressKey } from '../limits/address-key.ts'
import { createRateLimiter } from '../limits/rate-limiter.ts'
import { clientIdOf, scopesOf } from './claim-values.ts'
import {
  checkScopes,
  checkUser,
  type KnownClaims,
  requirePerson,
  speakerOf,
} from './identity-checks.ts'
import { checkIntrospection, fetchIntrospection } from './introspection.ts'
import { checkTokenText, readUnverified, verifyJwt, type UnverifiedJwt } from './jwt.ts'
import {
  createProvider,
  type Provider,
  type ProviderDependencies,
  type ProviderStatus,
} from './providers.ts'
import { refusal } from './refusals.ts'
import { createTokenCache, type Remembered } from './token-cache.ts'
import { fetchUserInfo, mergeUserInfo, wantsUserInfo } from './userinfo.ts'
import type { VerifiedToken } from './verified-token.ts'

/** What the verifier is made with. */
export interface TokenVerifierDependencies extends ProviderDependencies {
  /** Settings by provider id; opaque tokens are tried in this order. */
  readonly providers: Readonly<Record<string, ProviderSettings>>
  /** Opaque tokens that one address may have looked up: for each, several providers may be asked. Default: 10 a second, 100 at once. */
  readonly opaqueTokens?: { readonly perSecond: number; readonly burst: number }
}

/** Turns bearer tokens into verified ones. */
export interface TokenVerifier {
  /**
   * Verifies a token.
   *
   * @param caller.signal ends the wait of this caller only
   * @param caller.address where the token came from, by which questions to providers are limited; undefined: from ourselves
   * @throws TtsError `invalid_token`, `insufficient_scope`, `provider_unavailable`, `overloaded` or `limit_reached`
   */
  verify(
    token: string,
    caller?: {
      readonly signal?: AbortSignal | undefined
      readonly address?: string | undefined
    },
  ): Promise<VerifiedToken>
  /** How each provider is doing. */
  status(): readonly ProviderStatus[]
  /** The providers themselves, for `explainToken`. */
  readonly providers: readonly Provider[]
  /** Stops what runs in the background. */
  close(): void
}

const DEFAULT_OPAQUE_RATE = { perSecond: 10, burst: 100 }

/** At most this many providers are asked about one opaque token. */
const MAX_PROVIDERS_ASKED = 8

/** Starts discovery of all providers in the background and answers at once. */
export function createTokenVerifier(dependencies: TokenVerifierDependencies): TokenVerifier {
  const { now } = dependencies
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
    verify: async (token, { signal, address } = {}) => {
      checkTokenText(token)
      const key = address === undefined ? undefined : addressKey(address)
      const verify = (): Promise<Remembered> => {
        if (key !== undefined && readUnverified(token) === undefined) requireRate(opaque.take(key))
        return verifyToken(token, providers, now)
      }
      const verified = cache.resolve(token, verify, key)
      return signal === undefined ? verified : abandonable(verified, signal)
    },
    status: () => providers.map((provider) => provider.status()),
    close: () => {
      for (const provider of providers) provider.close()
    },
  }
}

/** @throws TtsError `limit_reached`, check `introspection_rate` */
function requireRate(retryAfterSeconds: number): void {
  if (retryAfterSeconds === 0) return
  throw new TtsError('limit_reached', 'too many opaque tokens from your address', {
    check: 'introspection_rate',
    remedy:
      'Raise limits.opaque_tokens_per_second_per_address if more opaque tokens may be looked up.',
    retryAfterSeconds,
  })
}

/** The story of a token, from text to verified claims. */
async function verifyToken(
  token: string,
  providers: readonly Provider[],
  now: () => Date,
): Promise<Remembered> {
  const unverified = readUnverified(token)
  return unverified === undefined
    ? verifyOpaque(token, providers, now)
    : verifySigned(token, findProvider(unverified, providers), now)
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

/** An opaque token does not tell its issuer: each provider that introspects is asked, in order. */
async function verifyOpaque(
  token: string,
  providers: readonly Provider[],
  now: () => Date,
): Promise<Remembered> {
  const asked = providers.filter(({ settings }) => settings.introspect !== 'never')
  let cannotTell: TtsError | undefined
  for (const provider of asked.slice(0, MAX_PROVIDERS_ASKED)) {
    try {
      const answer = await fetchIntrospection(token, provider)
      if (answer['active'] !== true) continue
      const known = checkIntrospection(answer, provider, { now: now() })
      return await finish(token, { provider, known, introspected: true }, now)
    } catch (error) {
      if (!(error instanceof TtsError) || error.code !== 'provider_unavailable') throw error
      cannotTell ??= error
    }
  }
  throw cannotTell ?? unknownOpaque(asked.length)
}

interface Found {
  readonly provider: Provider
  readonly known: KnownClaims
  readonly introspected: boolean
}

/** What JWTs and opaque tokens have in common: user, scopes, UserInfo. */
async function finish(token: string, found: Found, now: () => Date): Promise<Remembered> {
  const { provider, known } = found
  const { settings } = provider
  checkUser(known.sources, settings)
  checkScopes(known.claims, settings)
  const askUserInfo = wantsUserInfo(known, settings)
  const all = askUserInfo
    ? mergeUserInfo(known, await fetchUserInfo(token, String(known.claims['sub']), provider))
    : known
  // UserInfo may tell that a "user" is the service account of a client, or that an unclear one is a person.
  requirePerson(all.sources, settings)
  const verified = verifiedToken(provider, all)
  const cacheSeconds =
    found.introspected || askUserInfo
      ? Math.min(settings.introspection_cache_seconds, settings.token_cache_seconds)
      : settings.token_cache_seconds
  const untilMs = Math.min(now().getTime() + cacheSeconds * 1000, verified.expiresAt.getTime())
  return { token: verified, untilMs }
}

function verifiedToken(
  { id, settings }: Provider,
  { claims, sources }: KnownClaims,
): VerifiedToken {
  return Object.freeze({
    providerId: id,
    // Without the slash: identities are kept by it, and writing the setting the other way must not make new people.
    issuer: withoutTrailingSlash(settings.issuer),
    sub: String(claims['sub']),
    claims: Object.freeze({ ...claims }),
    scopes: Object.freeze([...scopesOf(claims)]),
    clientId: clientIdOf(claims),
    clientOnly: speakerOf(sources) !== 'person',
    expiresAt: new Date(Number(claims['exp']) * 1000),
  })
}

/**
 * The provider that an unverified token claims to come from, out of the exact list of those we trust.
 * @throws TtsError `invalid_token`, check `issuer`
 */
export function findProvider(token: UnverifiedJwt, providers: readonly Provider[]): Provider {
  const { iss } = token.claims
  const wanted = typeof iss === 'string' ? withoutTrailingSlash(iss) : undefined
  const provider = providers.find(
    ({ settings }) => withoutTrailingSlash(settings.issuer) === wanted,
  )
  if (provider !== undefined) return provider
  throw refusal(
    'issuer',
    'the token comes from an issuer that is not trusted here',
    'Add the issuer under `providers`, exactly as in the claim iss (one trailing slash does not matter).',
  )
}

function unknownOpaque(asked: number): TtsError {
  return asked === 0
    ? refusal(
        'format',
        'the token is not a signed JWT, and no provider is asked about other tokens',
        'Set introspect: opaque, with client_id and client_secret_file, for the provider that issues such tokens.',
      )
    : refusal(
        'active',
        'no provider knows the token as active: unknown, expired or revoked',
        'Allow our client to introspect at the provider that issued the token.',
      )
}

/** Waits no longer than the caller does; the verification itself goes on for others who wait for it. */
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

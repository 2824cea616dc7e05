/** Our client at the providers where people log in: authorization code with PKCE, and refresh. */
import * as oidc from 'openid-client'
import { withinSignal } from '../../api/deadline.ts'
import type { SessionLogin } from '../../domain/session-records.ts'
import { TtsError } from '../../base/errors.ts'
import { configurationWith } from '../../grants/discovery.ts'
import { createLimitedFetch } from '../../tokens/limited-fetch.ts'
import type { Provider } from '../../tokens/providers.ts'
import { unavailable } from '../../tokens/refusals.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'
import type { TokenVerifier } from '../../tokens/verify-token.ts'
import { loginError } from './errors.ts'

/** What binds a login to the browser that began it. */
export interface LoginChecks {
  readonly state: string
  readonly nonce: string
  readonly verifier: string
}

/** A login that passed every check. */
export interface CompletedLogin {
  readonly login: SessionLogin
  readonly token: VerifiedToken
  readonly displayName: string
}

export interface LoginClient {
  /** Ids of the providers where people can log in, with what they are called. */
  readonly providers: readonly { readonly id: string; readonly description: string }[]
  /**
   * The URL at the provider that the browser is sent to.
   *
   * @throws {TtsError} `not_found`, `provider_unavailable`
   */
  start(providerId: string, checks: LoginChecks, redirectUri: string): Promise<URL>
  /**
   * Completes a login by the URL that the browser came back to.
   *
   * @throws {TtsError} `access_denied` with the provider's reason in words; what the verifier throws
   */
  complete(providerId: string, checks: LoginChecks, returned: URL): Promise<CompletedLogin>
  /** A new access token by the refresh token; undefined when the provider gives none any more. */
  refresh(login: SessionLogin): Promise<SessionLogin | undefined>
  /**
   * Tells the provider that the refresh token is used no more (RFC 7009 section 2.1), where there is one and the provider can be
   * told. Waits a few seconds at most.
   *
   * @throws {TtsError} `provider_unavailable`, `access_denied`
   */
  revoke(login: SessionLogin): Promise<void>
}

/** People wait for it, and IAM takes up to 20 s under load. */
const LOGIN_TIMEOUT_MS = 30_000
const MAX_BODY_BYTES = 256 * 1024
/** They wait for this too, and it is nothing to them. */
const REVOCATION_TIMEOUT_MS = 4000

/** Logins are by the same client that introspects, at the providers that have one. */
export function createLoginClient(verifier: TokenVerifier, now: () => Date): LoginClient {
  const providers = verifier.providers.filter(
    ({ settings }) => settings.client_id !== undefined && settings.login.enabled,
  )
  const providerOf = (id: string): Provider => {
    const provider = providers.find((one) => one.id === id)
    if (provider !== undefined) return provider
    throw new TtsError('not_found', 'nobody can log in with a browser at this provider', {
      check: 'provider',
    })
  }
  return {
    providers: providers.map(({ id, settings }) => ({
      id,
      description: settings.description ?? id,
    })),
    start: async (id, checks, redirectUri) => startLogin(providerOf(id), checks, redirectUri),
    complete: async (id, checks, returned) => {
      const provider = providerOf(id)
      const { answer, idToken } = await exchangeCode(provider, checks, returned)
      // From here on it is a bearer token like any other.
      const token = await verifier.verify(answer.access_token)
      requireSamePerson(provider, idToken, token)
      const login = loginOf(provider.id, token, answer)
      return { login, token, displayName: displayNameOf(idToken, token) }
    },
    refresh: async (login) => {
      const { refreshToken } = login
      if (refreshToken === undefined) return undefined
      const provider = providerOf(login.providerId)
      const answer = await refreshed(provider, refreshToken)
      if (answer === undefined) return undefined
      const token = await verifier.verify(answer.access_token)
      const isSame = token.issuer === login.issuer && token.sub === login.sub
      const fresh = loginOf(provider.id, token, answer)
      const useless = fresh.expiresAtMs <= now().getTime()
      return isSame && !useless
        ? { ...fresh, refreshToken: fresh.refreshToken ?? refreshToken }
        : undefined
    },
    revoke: async ({ providerId, refreshToken }) => {
      if (refreshToken !== undefined) await revokeToken(providerOf(providerId), refreshToken)
    },
  }
}

async function startLogin(
  provider: Provider,
  { state, nonce, verifier }: LoginChecks,
  redirectUri: string,
): Promise<URL> {
  const { settings } = provider
  const configuration = await provider.configuration()
  if (configuration.serverMetadata().authorization_endpoint === undefined)
    throw unavailable(provider.id, new Error('it has no authorization_endpoint'))
  const [audience] = settings.audiences
  return oidc.buildAuthorizationUrl(configuration, {
    redirect_uri: redirectUri,
    scope: [...new Set(['openid', ...settings.login.scopes])].join(' '),
    state,
    nonce,
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    // IAM gives tokens without audience unless one is asked for by this parameter.
    ...(audience !== undefined && { audience }),
  })
}

interface Exchanged {
  readonly answer: oidc.TokenEndpointResponse
  readonly idToken: oidc.IDToken
}

async function exchangeCode(
  provider: Provider,
  { state, nonce, verifier }: LoginChecks,
  returned: URL,
): Promise<Exchanged> {
  try {
    const configuration = await boundedConfiguration(provider)
    // The signature of the ID token too, though the provider itself handed it over.
    oidc.enableNonRepudiationChecks(configuration)
    const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier }
    const answer = await oidc.authorizationCodeGrant(configuration, returned, {
      ...checks,
      idTokenExpected: true,
    })
    const idToken = answer.claims()
    if (idToken === undefined) throw new TypeError('no ID token')
    return { answer, idToken }
  } catch (error) {
    throw loginError(error, provider.id)
  }
}

async function refreshed(
  provider: Provider,
  refreshToken: string,
): Promise<oidc.TokenEndpointResponse | undefined> {
  const [audience] = provider.settings.audiences
  try {
    const configuration = await boundedConfiguration(provider)
    return await oidc.refreshTokenGrant(
      configuration,
      refreshToken,
      audience === undefined ? {} : { audience },
    )
  } catch (error) {
    const failure = loginError(error, provider.id)
    if (failure.code === 'provider_unavailable') throw failure
    return undefined
  }
}

async function revokeToken(provider: Provider, refreshToken: string): Promise<void> {
  const deadline = AbortSignal.timeout(REVOCATION_TIMEOUT_MS)
  const work = async (): Promise<void> => {
    const configuration = await boundedConfiguration(provider, REVOCATION_TIMEOUT_MS)
    if (configuration.serverMetadata().revocation_endpoint === undefined) return
    await oidc.tokenRevocation(configuration, refreshToken, { token_type_hint: 'refresh_token' })
  }
  try {
    // Discovery, where it is not done yet, has a deadline of its own.
    await withinSignal(work(), deadline)
  } catch (error) {
    throw loginError(error, provider.id)
  }
}

async function boundedConfiguration(
  provider: Provider,
  timeoutMs = Math.max(LOGIN_TIMEOUT_MS, provider.settings.timeout_seconds * 1000),
): Promise<oidc.Configuration> {
  const limited = createLimitedFetch(fetch, {
    timeoutMs,
    maxBodyBytes: MAX_BODY_BYTES,
    // A code is good for once.
    sendAgain: false,
  })
  return configurationWith(await provider.configuration(), limited.fetch)
}

function requireSamePerson(provider: Provider, idToken: oidc.IDToken, token: VerifiedToken): void {
  if (token.providerId === provider.id && idToken.sub === token.sub) return
  throw new TtsError(
    'access_denied',
    'the identity provider gave an access token that speaks of somebody else than its ID token',
    {
      check: 'subject',
      remedy: `Report this fault to the administrator of the provider ${provider.id}.`,
    },
  )
}

function loginOf(
  providerId: string,
  token: VerifiedToken,
  answer: oidc.TokenEndpointResponse,
): SessionLogin {
  return {
    providerId,
    issuer: token.issuer,
    sub: token.sub,
    accessToken: answer.access_token,
    expiresAtMs: token.expiresAt.getTime(),
    refreshToken: answer.refresh_token,
  }
}

const MAX_NAME = 80

/** For the page alone: nothing is decided by it. */
function displayNameOf(idToken: oidc.IDToken, token: VerifiedToken): string {
  const candidates = ['name', 'preferred_username', 'email'].flatMap((claim) => [
    token.claims[claim],
    idToken[claim],
  ])
  const name = candidates.find((one) => typeof one === 'string' && one.trim() !== '')
  return (typeof name === 'string' ? name.trim() : token.sub).slice(0, MAX_NAME)
}

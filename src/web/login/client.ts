/** The OpenID Connect client for logins: authorization code with PKCE, refresh and revocation. */
import * as oidc from 'openid-client'
import { withinSignal } from '../../api/deadline.ts'
import type { SessionLogin } from '../../domain/session-records.ts'
import { TtsError } from '../../base/errors.ts'
import { requestHabits } from '../../config/provider-profile.ts'
import { configurationWith } from '../../grants/discovery.ts'
import { audienceParameters } from '../../grants/grant-client.ts'
import { createLimitedFetch } from '../../tokens/limited-fetch.ts'
import type { Provider } from '../../tokens/providers.ts'
import { unavailable } from '../../tokens/refusals.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'
import type { TokenVerifier } from '../../tokens/verify-token.ts'
import { loginError } from './errors.ts'

/** Values that bind a login to the browser that started it. */
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
  /** Ids and display names of the providers that offer login. */
  readonly providers: readonly { readonly id: string; readonly description: string }[]
  /** Returns the path to which the provider sends browsers back. @throws {TtsError} `not_found` */
  redirectPath(providerId: string): string
  /**
   * Returns the authorization URL of the provider, where the browser is sent.
   *
   * @throws {TtsError} `not_found`, `provider_unavailable`
   */
  start(providerId: string, checks: LoginChecks, redirectUri: string): Promise<URL>
  /**
   * Completes a login from the URL to which the provider sent the browser back.
   *
   * @throws {TtsError} `access_denied` with the reason of the provider; the errors of the verifier
   */
  complete(providerId: string, checks: LoginChecks, returned: URL): Promise<CompletedLogin>
  /** Gets a new access token with the refresh token; undefined when the provider refuses. */
  refresh(login: SessionLogin): Promise<SessionLogin | undefined>
  /**
   * Revokes the refresh token at the provider (RFC 7009 section 2.1), if there is a refresh token and the provider
   * has a revocation endpoint. Waits a few seconds at most.
   *
   * @throws {TtsError} `provider_unavailable`, `access_denied`
   */
  revoke(login: SessionLogin): Promise<void>
}

/** The user waits for it, but IAM takes up to 20 s under load. */
const LOGIN_TIMEOUT_MS = 30_000
const MAX_BODY_BYTES = 256 * 1024
/** The user waits for this too, without any benefit. */
const REVOCATION_TIMEOUT_MS = 4000

/** Creates the login client. It uses the OAuth client of each provider that is also used for introspection. */
export function createLoginClient(verifier: TokenVerifier, now: () => Date): LoginClient {
  const providers = verifier.providers.filter(
    ({ settings }) => settings.client_id !== undefined && settings.login.enabled,
  )
  const providerOf = (id: string): Provider => {
    const provider = providers.find((one) => one.id === id)
    if (provider !== undefined) return provider
    throw new TtsError('not_found', 'this service does not offer login with this provider', {
      check: 'provider',
    })
  }
  return {
    providers: providers.map(({ id, settings }) => ({
      id,
      description: settings.description ?? id,
    })),
    redirectPath: (id) => providerOf(id).settings.login.redirect_path,
    start: async (id, checks, redirectUri) => startLogin(providerOf(id), checks, redirectUri),
    complete: async (id, checks, returned) => {
      const provider = providerOf(id)
      const { answer, idToken } = await exchangeCode(provider, checks, returned)
      // The verifier checks it like any other bearer token.
      const token = await verifier.verify(answer.access_token)
      requireSamePerson(provider, idToken, token)
      const login = loginOf(provider.id, token, answer)
      return { login, token, displayName: displayNameOf(idToken, token) }
    },
    refresh: async (login) => {
      const { refreshToken } = login
      if (refreshToken === undefined) return undefined
      const provider = providerOf(login.providerId)
      const answer = await requestRefresh(provider, refreshToken)
      if (answer === undefined) return undefined
      const token = await verifier.verify(answer.access_token)
      const isSamePerson = token.issuer === login.issuer && token.sub === login.sub
      const fresh = loginOf(provider.id, token, answer)
      const isExpired = fresh.expiresAtMs <= now().getTime()
      return isSamePerson && !isExpired
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
    ...settings.login.parameters,
    redirect_uri: redirectUri,
    scope: [...new Set(['openid', ...settings.login.scopes])].join(' '),
    state,
    nonce,
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    // Without this parameter IAM issues tokens without audience.
    ...audienceParameters(configuration, requestHabits(settings), { request: 'code', audience }),
  })
}

interface TokenExchange {
  readonly answer: oidc.TokenEndpointResponse
  readonly idToken: oidc.IDToken
}

async function exchangeCode(
  provider: Provider,
  { state, nonce, verifier }: LoginChecks,
  returned: URL,
): Promise<TokenExchange> {
  try {
    const configuration = await boundedConfiguration(provider)
    // Also checks the signature of the ID token, although it comes directly from the provider.
    oidc.enableNonRepudiationChecks(configuration)
    const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier }
    const [audience] = provider.settings.audiences
    const habits = requestHabits(provider.settings)
    const answer = await oidc.authorizationCodeGrant(
      configuration,
      returned,
      { ...checks, idTokenExpected: true },
      audienceParameters(configuration, habits, { request: 'code', audience }),
    )
    const idToken = answer.claims()
    if (idToken === undefined) throw new TypeError('no ID token')
    return { answer, idToken }
  } catch (error) {
    throw loginError(error, provider.id)
  }
}

async function requestRefresh(
  provider: Provider,
  refreshToken: string,
): Promise<oidc.TokenEndpointResponse | undefined> {
  const [audience] = provider.settings.audiences
  try {
    const configuration = await boundedConfiguration(provider)
    return await oidc.refreshTokenGrant(
      configuration,
      refreshToken,
      audienceParameters(configuration, requestHabits(provider.settings), {
        request: 'refresh',
        audience,
      }),
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
    // Discovery, if it is still needed, has its own deadline.
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
    // An authorization code can be used only once.
    sendAgain: false,
  })
  return configurationWith(await provider.configuration(), limited.fetch)
}

function requireSamePerson(provider: Provider, idToken: oidc.IDToken, token: VerifiedToken): void {
  const { providerId, otherProviderIds = [], sub } = token
  const isSameProvider = [providerId, ...otherProviderIds].includes(provider.id)
  if (isSameProvider && idToken.sub === sub) return
  throw new TtsError(
    'access_denied',
    'the access token and the ID token from the identity provider name different users',
    { check: 'subject', remedy: `The provider ${provider.id} is faulty: tell its administrator.` },
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

/** Returns a name to display. No decision may depend on it. */
function displayNameOf(idToken: oidc.IDToken, token: VerifiedToken): string {
  const candidates = ['name', 'preferred_username', 'email'].flatMap((claim) => [
    token.claims[claim],
    idToken[claim],
  ])
  const name = candidates.find((one) => typeof one === 'string' && one.trim() !== '')
  return (typeof name === 'string' ? name.trim() : token.sub).slice(0, MAX_NAME)
}

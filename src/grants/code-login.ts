/**
 * Login with a browser on this machine: authorization code with PKCE and a loopback redirect (RFC 8252 section 7.3,
 * RFC 7636).
 */
import * as oidc from 'openid-client'
import type { Granted, GrantParameters } from './grant.ts'
import {
  audienceParameters,
  type GrantClientOptions,
  granted,
  OFFLINE,
  perform,
  requireRefreshToken,
  scopeParameters,
} from './grant-client.ts'
import { refusalOf, refused } from './refusals.ts'

/** A login that a user completes in a browser, which then returns to the redirect URI. */
export interface CodeLogin {
  /** URL for the browser to open. */
  readonly url: string
  /** Identifies the redirect that belongs to this login. */
  readonly state: string
  /**
   * Exchanges the code in the redirect URL for tokens.
   *
   * @throws {TtsError} `grant_refused` (checks `login_denied`, `login_expired` and others), `provider_unavailable`
   */
  complete(returned: URL, signal: AbortSignal): Promise<Granted>
}

/**
 * Starts a login.
 *
 * @throws {TtsError} `grant_refused`, check `grant_not_enabled` (no authorization endpoint); `provider_unavailable`
 * @see RFC 6749 section 4.1
 */
export async function startCodeLogin(
  options: GrantClientOptions,
  request: GrantParameters & { readonly redirectUri: string },
): Promise<CodeLogin> {
  const { audience, scopes, signal, redirectUri } = request
  const [state, verifier] = [oidc.randomState(), oidc.randomPKCECodeVerifier()]
  const url = await perform(options, { kind: 'code', signal }, async (configuration) => {
    if (configuration.serverMetadata().authorization_endpoint === undefined)
      throw refused('grant_not_enabled', options)
    return oidc.buildAuthorizationUrl(configuration, {
      ...scopeParameters(scopes),
      ...audienceParameters(configuration, options.habits, { request: 'code', audience }),
      redirect_uri: redirectUri,
      state,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      // Otherwise offline_access may be ignored (OpenID Connect Core section 11).
      ...(scopes.includes(OFFLINE) && { prompt: 'consent' }),
    })
  })
  return {
    url: url.href,
    state,
    complete: async (returned, completionSignal) => {
      const error = returned.searchParams.get('error')
      if (error !== null) {
        const description = returned.searchParams.get('error_description') ?? ''
        const answer = { status: 400, error, description, retryAfterSeconds: undefined }
        throw refusalOf('code', answer, options)
      }
      const answer = await perform(
        options,
        { kind: 'code', signal: completionSignal },
        async (configuration) =>
          oidc.authorizationCodeGrant(
            configuration,
            returned,
            { expectedState: state, pkceCodeVerifier: verifier },
            audienceParameters(configuration, options.habits, { request: 'code', audience }),
          ),
      )
      const isRequired = scopes.includes(OFFLINE)
      return requireRefreshToken(options, isRequired, granted(answer, options.now()))
    },
  }
}

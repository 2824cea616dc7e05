/** A login in a browser of this machine: authorization code with PKCE to a loopback address (RFC 8252 section 7.3, RFC 7636). */
import * as oidc from 'openid-client'
import type { Granted, WantedGrant } from './grant.ts'
import { type GrantClientOptions, granted, offline, perform, wanted } from './grant-client.ts'
import { refusalOf, refused } from './refusals.ts'

/** A login that a person completes in a browser, which then comes back to the redirect URI. */
export interface CodeLogin {
  /** What the browser is to open. */
  readonly url: string
  /** By which the return of this login is told from anything else. */
  readonly state: string
  /**
   * Makes tokens of the URL that the browser came back to.
   *
   * @throws {TtsError} `grant_refused` (checks `login_denied`, `login_expired` and others), `provider_unavailable`
   */
  complete(returned: URL, signal: AbortSignal): Promise<Granted>
}

/**
 * Begins a login.
 *
 * @throws {TtsError} `grant_refused` with check `grant_not_enabled` at a provider without such logins; `provider_unavailable`
 */
export async function startCodeLogin(
  options: GrantClientOptions,
  request: WantedGrant & { readonly redirectUri: string },
): Promise<CodeLogin> {
  const { audience, scopes, signal, redirectUri } = request
  const { providerId } = options
  const [state, verifier] = [oidc.randomState(), oidc.randomPKCECodeVerifier()]
  const url = await perform(options, { kind: 'code', signal }, async (configuration) => {
    if (configuration.serverMetadata().authorization_endpoint === undefined)
      throw refused('grant_not_enabled', providerId)
    return oidc.buildAuthorizationUrl(configuration, {
      ...wanted(audience, scopes),
      redirect_uri: redirectUri,
      state,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      // OpenID Connect Core section 11: without it offline_access may be ignored.
      ...(scopes.includes('offline_access') && { prompt: 'consent' }),
    })
  })
  return {
    url: url.href,
    state,
    complete: async (returned, completing) => {
      const error = returned.searchParams.get('error')
      if (error !== null) {
        const description = returned.searchParams.get('error_description') ?? ''
        const answer = { status: 400, error, description, retryAfterSeconds: undefined }
        throw refusalOf('code', answer, providerId)
      }
      const answer = await perform(
        options,
        { kind: 'code', signal: completing },
        async (configuration) =>
          oidc.authorizationCodeGrant(
            configuration,
            returned,
            { expectedState: state, pkceCodeVerifier: verifier },
            audience === undefined ? {} : { audience },
          ),
      )
      return offline(options, scopes, granted(answer, options.now()))
    },
  }
}

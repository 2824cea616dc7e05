import * as oidc from 'openid-client'
import { TtsError } from '../errors.ts'
import { checkClaims, checkTokenKind, type Claims } from './claim-checks.ts'
import { clientIdOf } from './identity-checks.ts'
import type { Provider } from './providers.ts'
import { providerFault, refusal, unavailable } from './refusals.ts'

/**
 * Asks the provider about a token (RFC 7662 section 2). The answer is raw: see `checkIntrospection`.
 * @throws TtsError `provider_unavailable` for anything but a sensible answer: an error never makes a token good
 */
export async function fetchIntrospection(token: string, provider: Provider): Promise<Claims> {
  const configuration = await provider.configuration()
  if (configuration.serverMetadata().introspection_endpoint === undefined) {
    throw unavailable(provider.id, providerFault('it has no introspection endpoint'))
  }
  try {
    return await oidc.tokenIntrospection(configuration, token, { token_type_hint: 'access_token' })
  } catch (error) {
    throw refusedUs(error, provider) ?? unavailable(provider.id, error)
  }
}

/**
 * Checks an introspection answer as strictly as a JWT; `signed` are the claims of the JWT that was introspected.
 * @throws TtsError `invalid_token`
 */
export function checkIntrospection(
  answer: Claims,
  provider: Provider,
  context: { readonly now: Date; readonly signed?: Claims | undefined },
): Claims {
  if (answer['active'] !== true) {
    throw refusal(
      'active',
      'the provider says that the token is not active: unknown, expired or revoked',
      'if it should be good: our client must be allowed to introspect, and the token must be of this provider',
    )
  }
  const { active: _active, ...told } = answer
  const { settings } = provider
  const around = { settings, now: context.now, introspected: true }
  if (context.signed !== undefined) {
    checkSamePerson(context.signed, told)
    const claims = { ...told, ...context.signed }
    // What the provider says of the kind counts beside what the token says of itself: neither may say that it is another one.
    checkTokenKind({ ...context.signed, ...told }, around)
    checkTokenKind(claims, around)
    return claims
  }
  const claims = withSubject({ iss: settings.issuer, ...told, ...splitAudience(told) })
  checkTokenType(claims)
  checkClaims(claims, around)
  return claims
}

/** IAM 1.12 answers all audiences as one blank-separated string. */
function splitAudience({ aud }: Claims): Claims {
  return typeof aud === 'string' && aud.includes(' ') ? { aud: aud.split(' ').filter(Boolean) } : {}
}

/** RFC 7662 has no `sub` for a client alone; then the client is whom the token speaks for. */
function withSubject(claims: Claims): Claims {
  const clientId = clientIdOf(claims)
  return claims['sub'] === undefined && clientId !== undefined
    ? { ...claims, sub: clientId }
    : claims
}

/**
 * Of an opaque token nothing but this answer is known. Refresh tokens are active too, with client and scopes: the answer must name
 * the kind.
 */
function checkTokenType(claims: Claims): void {
  const { token_type: type, typ, token_use: use } = claims
  if (type !== undefined || typ !== undefined || use !== undefined) return
  throw refusal(
    'type',
    'the provider does not say that this is an access token',
    'introspection has to answer token_type Bearer (or token_use, or typ); without it a refresh token could be used here',
  )
}

function checkSamePerson(signed: Claims, told: Claims): void {
  if (told['sub'] === undefined || told['sub'] === signed['sub']) return
  throw refusal(
    'subject',
    'the token and its introspection speak of different subjects',
    'the provider answers for another token: report it to its operator',
  )
}

function refusedUs(error: unknown, { id }: Provider): TtsError | undefined {
  const known =
    error instanceof oidc.ResponseBodyError || error instanceof oidc.WWWAuthenticateChallengeError
  if (!known || (error.status !== 401 && error.status !== 403)) return undefined
  return new TtsError('provider_unavailable', `the identity provider ${id} does not answer us`, {
    check: 'provider',
    retryAfterSeconds: 60,
    remedy: `the provider refused our client (HTTP ${error.status}): see providers.${id}.client_id and client_secret_file, and whether the client may introspect`,
  })
}

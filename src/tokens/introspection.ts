import * as oidc from 'openid-client'
import { TtsError } from '../base/errors.ts'
import { checkAudience, checkClaims, requireAccessToken } from './claim-checks.ts'
import { type Claims, clientIdOf, wordsOf } from './claim-values.ts'
import type { KnownClaims } from './identity-checks.ts'
import type { VerifiedJwt } from './jwt.ts'
import type { Provider } from './providers.ts'
import { providerFault, refusal, unavailable } from './refusals.ts'
import { kindOfIntrospectedJwt } from './token-kind.ts'

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
 * Checks an introspection answer as strictly as a JWT; `jwt` is the one that was introspected, if it was one.
 * @throws TtsError `invalid_token`
 */
export function checkIntrospection(
  answer: Claims,
  { settings }: Provider,
  context: { readonly now: Date; readonly jwt?: VerifiedJwt | undefined },
): KnownClaims {
  if (answer['active'] !== true) {
    throw refusal(
      'active',
      'the provider says that the token is not active: unknown, expired or revoked',
      'Get a new token. If it should be active, check that our client may introspect and that this provider issued the token.',
    )
  }
  const { active: _active, ...rest } = answer
  const told = withAudienceList(rest)
  const { jwt, now } = context
  if (jwt === undefined) {
    const claims = withSubject({ iss: settings.issuer, ...told })
    checkClaims(claims, { settings, now, source: 'introspection' })
    return { claims, sources: [claims] }
  }
  checkSamePerson(jwt.claims, told)
  const { headerType } = jwt
  const evidence = settings.access_token_evidence
  requireAccessToken(kindOfIntrospectedJwt(jwt.claims, told, { headerType, evidence }))
  const claims = { ...told, ...jwt.claims }
  // A JWT that names no audience may have one all the same.
  checkAudience(claims, { settings })
  return { claims, sources: [jwt.claims, told] }
}

/** INDIGO IAM 1.12 writes a list of audiences as one text with blanks, in answers to introspection and nowhere else. */
function withAudienceList(answer: Claims): Claims {
  const { aud } = answer
  return typeof aud === 'string' && aud.includes(' ') ? { ...answer, aud: wordsOf(aud) } : answer
}

/** RFC 7662 has no `sub` for a client alone; then the client is whom the token speaks for. Not where a user is named. */
function withSubject(claims: Claims): Claims {
  const clientId = clientIdOf(claims)
  const namesUser = ['username', 'user_id', 'preferred_username'].some(
    (name) => claims[name] !== undefined,
  )
  return claims['sub'] === undefined && clientId !== undefined && !namesUser
    ? { ...claims, sub: clientId }
    : claims
}

function checkSamePerson(signed: Claims, told: Claims): void {
  if (told['sub'] === undefined || told['sub'] === signed['sub']) return
  throw refusal(
    'subject',
    'the token and its introspection speak of different subjects',
    'Report this fault to the administrator of the provider: it answered for another token.',
  )
}

function refusedUs(error: unknown, { id }: Provider): TtsError | undefined {
  const known =
    error instanceof oidc.ResponseBodyError || error instanceof oidc.WWWAuthenticateChallengeError
  if (!known || (error.status !== 401 && error.status !== 403)) return undefined
  return new TtsError('provider_unavailable', `the identity provider ${id} does not answer us`, {
    check: 'provider',
    retryAfterSeconds: 60,
    remedy: `Check providers.${id}.client_id and client_secret_file, and that the client may introspect: the provider refused our client with HTTP status ${error.status}.`,
  })
}

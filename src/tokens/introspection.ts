import * as oidc from 'openid-client'
import { TtsError } from '../base/errors.ts'
import { adviceOn } from './advice.ts'
import { checkBearer, checkClaims, claimChecks, requireAccessToken } from './claim-checks.ts'
import { withUsualNames } from './claim-names.ts'
import { type Claims, clientIdOf, wordsOf } from './claim-values.ts'
import type { KnownClaims } from './identity-checks.ts'
import type { VerifiedJwt } from './jwt.ts'
import type { Provider } from './providers.ts'
import { providerFault, refusal, unavailable } from './refusals.ts'
import { kindOfIntrospectedJwt } from './token-kind.ts'

/** Whether the provider has an introspection endpoint. @throws {TtsError} `provider_unavailable` (not discovered) */
export async function canIntrospect(provider: Provider): Promise<boolean> {
  const configuration = await provider.configuration()
  return configuration.serverMetadata().introspection_endpoint !== undefined
}

/**
 * Asks the provider about a token. The answer is not checked: see `checkIntrospection`.
 *
 * @throws {TtsError} `provider_unavailable` (every failure: an error must never make a token valid)
 * @see RFC 7662 section 2
 */
export async function fetchIntrospection(token: string, provider: Provider): Promise<Claims> {
  const configuration = await provider.configuration()
  if (configuration.serverMetadata().introspection_endpoint === undefined) {
    throw unavailable(provider.id, providerFault('it has no introspection endpoint'))
  }
  try {
    const hint = { token_type_hint: 'access_token' }
    const answer = await oidc.tokenIntrospection(configuration, token, hint)
    return withUsualNames(answer, provider.settings)
  } catch (error) {
    throw clientRefused(error, provider) ?? unavailable(provider.id, error)
  }
}

/**
 * Checks an introspection answer as strictly as a JWT.
 *
 * @param context.jwt the introspected token, if it is a JWT
 * @throws {TtsError} `invalid_token` (not active, another subject, not an access token, or a claim check fails)
 * @see RFC 7662 section 2.2
 */
export function checkIntrospection(
  answer: Claims,
  provider: Provider,
  context: { readonly now: Date; readonly jwt?: VerifiedJwt | undefined },
): KnownClaims {
  const { settings } = provider
  if (answer['active'] !== true) {
    throw refusal(
      'active',
      'the provider says that the token is not active: unknown, expired or revoked',
      adviceOn('inactive', settings.profile),
    )
  }
  const { jwt, now } = context
  if (jwt === undefined) {
    const claims = withSubject(claimsOfAnswer(answer, provider))
    checkClaims(claims, { settings, now, source: 'introspection' })
    return { claims, sources: [claims] }
  }
  const { active: _active, ...rest } = answer
  const introspected = withAudienceList(rest)
  checkSameSubject(jwt.claims, introspected)
  const { headerType } = jwt
  const evidence = settings.access_token_evidence
  requireAccessToken(
    kindOfIntrospectedJwt(jwt.claims, introspected, { headerType, evidence }),
    settings,
  )
  const claims = { ...introspected, ...jwt.claims }
  checkBearer(claims)
  // Again, because the answer may have added claims; the kind was judged above, by both.
  for (const { check, run } of claimChecks)
    if (check !== 'type') run(claims, { settings, now, source: 'jwt', headerType })
  return { claims, sources: [jwt.claims, introspected] }
}

/** Returns the claims of an opaque token's answer, with the issuer and a list of audiences. */
export function claimsOfAnswer(answer: Claims, { settings }: Provider): Claims {
  const { active: _active, ...claims } = answer
  return { iss: settings.issuer, ...withAudienceList(claims) }
}

/** INDIGO IAM 1.12 writes several audiences as one text with spaces, but only in introspection answers. */
function withAudienceList(answer: Claims): Claims {
  const { aud } = answer
  return typeof aud === 'string' && aud.includes(' ') ? { ...answer, aud: wordsOf(aud) } : answer
}

/** Whether an introspection answer names a user. */
export const namesUser = (claims: Claims): boolean =>
  ['username', 'user_id', 'preferred_username'].some((name) => claims[name] !== undefined)

/** RFC 7662 has no `sub` for client tokens: the client then becomes the subject, unless the answer names a user. */
function withSubject(claims: Claims): Claims {
  const clientId = clientIdOf(claims)
  return claims['sub'] === undefined && clientId !== undefined && !namesUser(claims)
    ? { ...claims, sub: clientId }
    : claims
}

function checkSameSubject(signed: Claims, introspected: Claims): void {
  const [answered, own] = [introspected['sub'], signed['sub']]
  if (answered === undefined || own === undefined || answered === own) return
  throw refusal(
    'subject',
    'the token and its introspection have different subjects',
    'Report this fault to the administrator of the provider: it answered for another token.',
  )
}

/**
 * Introspects a token that does not exist, to see whether the provider accepts our client.
 *
 * @returns `inactive` if everything is in order; the HTTP status with which the provider refused our client
 * @throws {TtsError} `provider_unavailable`
 */
export async function probeIntrospection(
  token: string,
  provider: Provider,
): Promise<'inactive' | 'active' | { readonly status: number }> {
  const configuration = await provider.configuration()
  try {
    const { active } = await oidc.tokenIntrospection(configuration, token)
    return active ? 'active' : 'inactive'
  } catch (error) {
    const status = refusedStatus(error)
    if (status !== undefined) return { status }
    throw unavailable(provider.id, error)
  }
}

/** Returns the HTTP status of an answer that refuses our client (RFC 6749 section 5.2); undefined for any other. */
function refusedStatus(error: unknown): number | undefined {
  const isAnswer =
    error instanceof oidc.ResponseBodyError || error instanceof oidc.WWWAuthenticateChallengeError
  if (!isAnswer) return undefined
  const isInvalidClient =
    error instanceof oidc.ResponseBodyError && error.error === 'invalid_client'
  return error.status === 401 || error.status === 403 || isInvalidClient ? error.status : undefined
}

function clientRefused(error: unknown, { id }: Provider): TtsError | undefined {
  const status = refusedStatus(error)
  if (status === undefined) return undefined
  return new TtsError('provider_unavailable', `the identity provider ${id} refuses our client`, {
    check: 'provider',
    retryAfterSeconds: 60,
    remedy: `Check providers.${id}.client_id and client_secret_file, and that the client may introspect: the provider refused our client with HTTP status ${status}.`,
  })
}

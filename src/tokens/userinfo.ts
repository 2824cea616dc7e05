import * as oidc from 'openid-client'
import { withUsualNames } from './claim-names.ts'
import type { Claims } from './claim-values.ts'
import { type KnownClaims, speakerOf } from './identity-checks.ts'
import type { Provider } from './providers.ts'
import { providerFault, refusal, unavailable } from './refusals.ts'

/** Claims for groups, for services whose rules read none: of IAM, WLCG, Keycloak and similar, EGI Check-in and AARC. */
const GROUP_CLAIMS = [
  'groups',
  'wlcg.groups',
  'roles',
  'realm_access',
  'eduperson_entitlement',
  'entitlements',
]

/** Whether UserInfo must be fetched. Client tokens have no UserInfo. */
export function wantsUserInfo(
  { claims, sources, hasUserInfo }: KnownClaims,
  { settings, ruleClaims }: Pick<Provider, 'settings' | 'ruleClaims'>,
): boolean {
  if (hasUserInfo === true || settings.userinfo === 'never') return false
  if (speakerOf(sources) === 'client') return false
  if (settings.userinfo === 'always') return true
  const needed = ruleClaims.filter(canComeFromUserInfo)
  if (needed.length === 0) return !GROUP_CLAIMS.some((name) => claims[name] !== undefined)
  // Part of a nested claim is not enough to ask: UserInfo adds only whole claims.
  return needed.some((name) => !Object.hasOwn(claims, name) && !Object.hasOwn(claims, topOf(name)))
}

/** Whether a claim that a rule names, by name or by path, can be added by UserInfo. */
function canComeFromUserInfo(name: string): boolean {
  return ![name, topOf(name)].some((each) => each === 'sub' || TOKEN_CLAIMS.has(each))
}

/** Returns the claim in which a path such as `realm_access.roles` begins. */
const topOf = (path: string): string => path.split('.', 1)[0] ?? path

/** Whether the provider has a UserInfo endpoint. @throws {TtsError} `provider_unavailable` (not discovered) */
export async function canAskUserInfo(provider: Provider): Promise<boolean> {
  const configuration = await provider.configuration()
  return configuration.serverMetadata().userinfo_endpoint !== undefined
}

/**
 * Fetches the claims of UserInfo and checks that they have the same subject.
 *
 * @param sub the subject of the token; undefined if it is not known yet
 * @throws {TtsError} `invalid_token`, check `userinfo` (the provider refuses the token) or `subject` (another subject)
 * @throws {TtsError} `provider_unavailable` (every other failure)
 * @see OpenID Connect Core 1.0 section 5.3
 */
export async function fetchUserInfo(
  token: string,
  sub: unknown,
  provider: Provider,
): Promise<Claims> {
  const configuration = await provider.configuration()
  if (configuration.serverMetadata().userinfo_endpoint === undefined) {
    throw unavailable(provider.id, providerFault('it has no UserInfo endpoint'))
  }
  let claims: Claims
  try {
    const userInfo = await oidc.fetchUserInfo(configuration, token, oidc.skipSubjectCheck)
    claims = withUsualNames(userInfo, provider.settings)
  } catch (error) {
    if (isRefusal(error)) {
      throw refusal('userinfo', 'the UserInfo endpoint of the provider refuses the token', {
        remedy:
          'Send a token that has the scope openid (and profile for groups) and is not revoked.',
        cause: error,
      })
    }
    throw unavailable(provider.id, error)
  }
  if (sub === undefined || claims['sub'] === sub) return claims
  throw refusal(
    'subject',
    'the token and UserInfo have different subjects',
    'Report this fault to the administrator of the provider: it mixes users up (OpenID Connect Core section 5.3.2).',
  )
}

/** Claims about the token itself, which UserInfo must not set. */
const TOKEN_CLAIMS = new Set(
  (
    'iss aud exp nbf iat jti scope scp client_id azp cid appid typ token_type token_use tokenName ver ' +
    'gty grant_type idtyp nonce at_hash c_hash s_hash events cnf act wlcg.ver'
  ).split(' '),
)

/** Adds the claims of UserInfo that the token does not have. Never changes a claim of the token. */
export function mergeUserInfo({ claims, sources }: KnownClaims, userInfo: Claims): KnownClaims {
  const added = Object.fromEntries(
    Object.entries(userInfo).filter(([name]) => !TOKEN_CLAIMS.has(name)),
  )
  return { claims: { ...added, ...claims }, sources: [...sources, added] }
}

function isRefusal(error: unknown): boolean {
  const known =
    error instanceof oidc.WWWAuthenticateChallengeError || error instanceof oidc.ResponseBodyError
  if (known) return error.status === 401 || error.status === 403
  const response = error instanceof oidc.ClientError ? error.cause : undefined
  return response instanceof Response && (response.status === 401 || response.status === 403)
}

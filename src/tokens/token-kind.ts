/**
 * What kind of token it is, by positive evidence. Providers sign ID tokens, refresh tokens and logout tokens with the same keys and
 * often for the same audience; whoever has been shown one of these must not get a certificate for it.
 */
import type { Claims } from './claim-checks.ts'

/** `other`: certainly no access token. `unknown`: nothing shows that it is one. */
export type TokenKind = 'access_token' | 'other' | 'unknown'

/** What is known of a token. */
export interface TokenEvidence {
  /** Claims of the token, or the answer of introspection, or both. */
  readonly claims: Claims
  /** Header `typ` of a JWT; undefined when there is none, or no JWT. */
  readonly headerType?: unknown
  /** Claims of introspection among them say of `token_type` what RFC 7662 section 2.2 means. */
  readonly introspected?: boolean
}

/** Judges the kind of a token. */
export function tokenKindOf(evidence: TokenEvidence): TokenKind {
  const { claims } = evidence
  if (isOtherByName(evidence)) return 'other'
  if (isAccessTokenByName(evidence)) return 'access_token'
  // OpenID Connect Core section 3: claims of ID tokens. Older Keycloaks write `nonce` into access tokens, which name their kind.
  if (claims['nonce'] !== undefined || claims['c_hash'] !== undefined) return 'other'
  return isIssuedToClient(claims) && claims['at_hash'] === undefined ? 'access_token' : 'unknown'
}

const HEADER_TYPES: readonly unknown[] = [undefined, 'jwt', 'at+jwt', 'application/at+jwt']
const ACCESS_HEADER_TYPES: readonly unknown[] = ['at+jwt', 'application/at+jwt']
const ACCESS_TOKEN_USES: readonly unknown[] = ['access', 'access_token']
/** Most write Bearer, INDIGO IAM ACCESS_TOKEN. */
const ACCESS_TOKEN_TYPES: readonly unknown[] = ['bearer', 'access_token']

/** The token, or its provider, says that it is something else. */
function isOtherByName({ claims, headerType, introspected = false }: TokenEvidence): boolean {
  const { typ, token_use: use, token_type: type } = claims
  return (
    !HEADER_TYPES.includes(lowerCase(headerType)) ||
    // Keycloak: ID, Refresh, Offline, Logout.
    (typ !== undefined && lowerCase(typ) !== 'bearer') ||
    // Cognito: id. Dex, Hydra (introspection): refresh_token.
    (use !== undefined && !ACCESS_TOKEN_USES.includes(use)) ||
    (introspected && type !== undefined && !ACCESS_TOKEN_TYPES.includes(lowerCase(type))) ||
    // OpenID Connect Back-Channel Logout section 2.4, RFC 8417.
    claims['events'] !== undefined
  )
}

/** The token, or its provider, says that it is an access token. */
function isAccessTokenByName({ claims, headerType, introspected = false }: TokenEvidence): boolean {
  return (
    // RFC 9068 section 2.1.
    ACCESS_HEADER_TYPES.includes(lowerCase(headerType)) ||
    lowerCase(claims['typ']) === 'bearer' ||
    ACCESS_TOKEN_USES.includes(claims['token_use']) ||
    (introspected && ACCESS_TOKEN_TYPES.includes(lowerCase(claims['token_type'])))
  )
}

/**
 * RFC 9068 section 2.2: access tokens name their client by `client_id`; ID tokens do it by `aud`, and by `azp`, which is
 * evidence only beside a scope. INDIGO IAM's access tokens have `client_id` and, by default, no scope.
 */
function isIssuedToClient(claims: Claims): boolean {
  if (isText(claims['client_id'])) return true
  const hasScope = [claims['scope'], claims['scp']].some((scope) => isText(scope) || isList(scope))
  const hasClient = ['azp', 'cid', 'appid'].some((name) => isText(claims[name]))
  // Tokens of the WLCG profile and SciTokens need not name a client.
  const hasProfile = isText(claims['wlcg.ver']) || /^scitoken/i.test(String(claims['ver']))
  return hasScope && (hasClient || hasProfile)
}

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''
const isList = (value: unknown): boolean => Array.isArray(value) && value.length > 0
const lowerCase = (value: unknown): unknown =>
  typeof value === 'string' ? value.toLowerCase() : value

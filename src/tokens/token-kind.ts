/**
 * Determines the kind of a token. Providers sign ID tokens, logout tokens and sometimes refresh tokens with the same
 * keys as access tokens, so a token counts as an access token only if something in it says so.
 */
import type { AccessTokenEvidence } from '../config/provider-schema.ts'
import { type Claims, clientIdsOf, hasWord, scopesOf } from './claim-values.ts'

/** `other`: none of the first four, for example a security event; `unknown`: nothing says what it is. */
export type TokenKind = 'access' | 'id' | 'refresh' | 'logout' | 'other' | 'unknown'

/** The kind of a token, and the claim or header that shows it (`sign`: its name, never its value). */
export interface TokenVerdict {
  readonly kind: TokenKind
  readonly sign: string
}

/** What decides besides the claims. */
export interface KindContext {
  /** Header `typ`. */
  readonly headerType?: unknown
  readonly evidence: AccessTokenEvidence
}

/**
 * Members that name a token's kind, with their values for access tokens. `typ`: Keycloak, also in lower case
 * (its client setting "use lower-case bearer type"); `token_use`: Cognito, and introspection by Hydra and Dex;
 * `token_type`: RFC 7662, IAM writes ACCESS_TOKEN; `tokenName`: ForgeRock.
 */
const KIND_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  typ: ['bearer'],
  token_use: ['access', 'access_token'],
  token_type: ['bearer', 'access', 'access_token', 'urn:ietf:params:oauth:token-type:access_token'],
  tokenName: ['access_token'],
}

const OTHER_KINDS: Readonly<Record<string, TokenKind>> = {
  id: 'id',
  id_token: 'id',
  refresh: 'refresh',
  refresh_token: 'refresh',
  offline: 'refresh',
  logout: 'logout',
  logout_token: 'logout',
  'logout+jwt': 'logout',
}

/** Hashes of code and state: only in ID tokens (OpenID Connect Core section 3.3.2.11, FAPI 1 part 2). */
const ID_TOKEN_HASHES = ['c_hash', 's_hash']
/** In most ID tokens and in few access tokens (Dex; Keycloak to version 24, which says `typ: Bearer`). */
const ID_TOKEN_SIGNS = ['nonce', 'at_hash']
/**
 * Signs of a login: in ID tokens, and in access tokens that have further signs of their own (RFC 9068 section 2.2.1).
 */
const LOGIN_SIGNS = ['auth_time', 'sid', 'session_state', 'amr']

/**
 * Returns the kind of a JWT whose signature was verified. A statement that it is another kind has precedence over
 * everything. Next come explicit statements (header `at+jwt` of RFC 9068, `typ: Bearer`, `token_use: access`) and the
 * operator's configuration, and last the members that only access tokens have, unless something looks like an ID
 * token.
 */
export function kindOfJwt(claims: Claims, { headerType, evidence }: KindContext): TokenVerdict {
  const header = kindOfHeader(headerType)
  if (header !== undefined && header.kind !== 'access') return header
  const otherwise = otherKind(claims)
  if (otherwise !== undefined) return otherwise
  const stated = header ?? statedAccess(claims, ['typ', 'token_use', 'tokenName'])
  if (stated !== undefined) return stated
  const configured = configuredAccess(claims, evidence)
  if (configured !== undefined) return configured
  const idSign = firstOf(claims, ID_TOKEN_SIGNS)
  if (idSign !== undefined) return { kind: 'unknown', sign: idSign }
  return usualAccess(claims) ?? { kind: 'unknown', sign: firstOf(claims, LOGIN_SIGNS) ?? '' }
}

/**
 * Returns the kind of a token by its introspection answer (RFC 7662 section 2.2). Refresh tokens are active, too,
 * with the same client and scopes, so `client_id` and `scope` alone prove nothing here.
 */
export function kindOfAnswer(
  answer: Claims,
  { evidence }: Pick<KindContext, 'evidence'>,
): TokenVerdict {
  return (
    otherKind(answer) ??
    statedAccess(answer, Object.keys(KIND_MEMBERS)) ??
    configuredAccess(answer, evidence) ?? { kind: 'unknown', sign: '' }
  )
}

/**
 * Returns the kind of a JWT that was also introspected. The answer can state another kind. It can also make a JWT of
 * unknown kind an access token, unless the JWT looks like an ID token: Dex answers `token_use: access_token` for ID
 * tokens, too.
 */
export function kindOfIntrospectedJwt(
  claims: Claims,
  answer: Claims,
  context: KindContext,
): TokenVerdict {
  const own = kindOfJwt(claims, context)
  const answered = kindOfAnswer(answer, context)
  if (own.kind !== 'access' && own.kind !== 'unknown') return own
  if (answered.kind !== 'access' && answered.kind !== 'unknown') return answered
  const answerDecides = own.kind === 'unknown' && own.sign === '' && answered.kind === 'access'
  return answerDecides ? answered : own
}

function kindOfHeader(headerType: unknown): TokenVerdict | undefined {
  if (headerType === undefined) return undefined
  const type = typeof headerType === 'string' ? headerType.toLowerCase() : ''
  if (type === 'jwt') return undefined
  const isAccess = type === 'at+jwt' || type === 'application/at+jwt'
  return { kind: isAccess ? 'access' : otherKindOf(type), sign: 'header typ' }
}

const otherKindOf = (word: string): TokenKind =>
  (Object.hasOwn(OTHER_KINDS, word) ? OTHER_KINDS[word] : undefined) ?? 'other'

/** Returns a statement that it is not an access token. An unknown value counts as such a statement. */
function otherKind(claims: Claims): TokenVerdict | undefined {
  for (const [name, accessWords] of Object.entries(KIND_MEMBERS)) {
    const value = claims[name] ?? undefined
    if (value === undefined) continue
    const word = typeof value === 'string' ? value.toLowerCase() : ''
    if (accessWords.includes(word)) continue
    return { kind: otherKindOf(word), sign: `claim ${name}` }
  }
  // RFC 8417: security events, of which logout tokens are one kind.
  if (isThere(claims, 'events')) return { kind: 'logout', sign: 'claim events' }
  const hash = firstOf(claims, ID_TOKEN_HASHES)
  return hash === undefined ? undefined : { kind: 'id', sign: hash }
}

/** Must be called after `otherKind`, which leaves only values for access tokens. */
function statedAccess(claims: Claims, names: readonly string[]): TokenVerdict | undefined {
  const name = names.find((each) => isThere(claims, each))
  return name === undefined ? undefined : { kind: 'access', sign: `claim ${name}` }
}

function configuredAccess(claims: Claims, evidence: AccessTokenEvidence): TokenVerdict | undefined {
  if (evidence === 'standard') return undefined
  if (evidence === 'none') return { kind: 'access', sign: 'provider (access_token_evidence: none)' }
  const holds = Object.entries(evidence).every(
    ([name, expected]) =>
      Object.hasOwn(claims, name) &&
      (claims[name] === expected ||
        (typeof expected === 'string' && hasWord(claims[name], expected))),
  )
  return holds ? { kind: 'access', sign: 'claims of access_token_evidence' } : undefined
}

/** Recognises members that access tokens of many providers have and ID tokens do not. */
function usualAccess(claims: Claims): TokenVerdict | undefined {
  const access = (sign: string): TokenVerdict => ({ kind: 'access', sign })
  if (isThere(claims, 'token_type')) return access('claim token_type')
  const hasScope = scopesOf(claims).length > 0
  if (hasScope && clientIdsOf(claims).length > 0)
    return access('claims client_id or azp, and scope')
  // WLCG profile: its ID tokens have `wlcg.ver` too, and no `scope`. SciTokens name their version in `ver`.
  if (hasScope && isThere(claims, 'wlcg.ver')) return access('claims wlcg.ver and scope')
  const { ver } = claims
  if (hasScope && typeof ver === 'string' && /^scitokens?:/.test(ver))
    return access('claims ver and scope')
  // INDIGO IAM with default settings sends neither scope nor groups. Its ID tokens have no `client_id`; those of
  // Apereo CAS have it, but also `auth_time`.
  const isOfLogin = firstOf(claims, LOGIN_SIGNS) !== undefined
  if (!isOfLogin && isText(claims['client_id']) && isText(claims['jti']))
    return access('claims client_id and jti')
  return undefined
}

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''

const isThere = (claims: Claims, name: string): boolean =>
  Object.hasOwn(claims, name) && (claims[name] ?? undefined) !== undefined

function firstOf(claims: Claims, names: readonly string[]): string | undefined {
  const name = names.find((each) => isThere(claims, each))
  return name === undefined ? undefined : `claim ${name}`
}

/**
 * What kind of token this is. Providers sign ID tokens, logout tokens and sometimes refresh tokens with the keys of their
 * access tokens, so a token is taken for an access token only when something in it says so.
 */
import type { AccessTokenEvidence } from '../config/provider-schema.ts'
import { type Claims, clientIdsOf, hasWord, scopesOf } from './claim-values.ts'

/** `other`: something else than the four, for example a security event; `unknown`: nothing says what it is. */
export type TokenKind = 'access' | 'id' | 'refresh' | 'logout' | 'other' | 'unknown'

/** What a token is, and by which member of it. `sign` names a claim or header, never its value. */
export interface TokenVerdict {
  readonly kind: TokenKind
  readonly sign: string
}

/** What is looked at besides the claims. */
export interface KindContext {
  /** Header `typ`. */
  readonly headerType?: unknown
  readonly evidence: AccessTokenEvidence
}

/**
 * Members by which a token names its own kind, with the words for an access token. `typ`: Keycloak, also in lower case
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

/** Hashes of a code and a state: in ID tokens alone (OpenID Connect Core section 3.3.2.11, FAPI 1 part 2). */
const ID_TOKEN_HASHES = ['c_hash', 's_hash']
/** In most ID tokens and in few access tokens (Dex; Keycloak to version 24, which says `typ: Bearer`). */
const ID_TOKEN_SIGNS = ['nonce', 'at_hash']
/** What tells of a login: in ID tokens, and in access tokens that say more of themselves (RFC 9068 section 2.2.1). */
const LOGIN_SIGNS = ['auth_time', 'sid', 'session_state', 'amr']

/**
 * The kind of a JWT whose signature was verified. What says that it is another kind wins over everything. Then come plain
 * statements (header `at+jwt` of RFC 9068, `typ: Bearer`, `token_use: access`) and what the operator configured; then what
 * only access tokens have, as long as nothing looks like an ID token.
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
 * The kind of a token by the answer of an introspection (RFC 7662 section 2.2). Refresh tokens are active too, with the
 * same client and scopes, so that `client_id` and `scope` alone say nothing here.
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
 * The kind of a JWT that was introspected too. The answer can name another kind; and it can say what the JWT does not, unless
 * the JWT looks like an ID token: Dex answers `token_use: access_token` for its ID tokens as well.
 */
export function kindOfIntrospectedJwt(
  claims: Claims,
  answer: Claims,
  context: KindContext,
): TokenVerdict {
  const own = kindOfJwt(claims, context)
  const told = kindOfAnswer(answer, context)
  if (own.kind !== 'access' && own.kind !== 'unknown') return own
  if (told.kind !== 'access' && told.kind !== 'unknown') return told
  const isTold = own.kind === 'unknown' && own.sign === '' && told.kind === 'access'
  return isTold ? told : own
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

/** What says that it is no access token. A word that is not known counts as one. */
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

/** Called after `otherKind`: what is there is a word for an access token. */
function statedAccess(claims: Claims, names: readonly string[]): TokenVerdict | undefined {
  const name = names.find((each) => isThere(claims, each))
  return name === undefined ? undefined : { kind: 'access', sign: `claim ${name}` }
}

function configuredAccess(claims: Claims, evidence: AccessTokenEvidence): TokenVerdict | undefined {
  if (evidence === 'standard') return undefined
  if (evidence === 'none') return { kind: 'access', sign: 'provider (access_token_evidence: none)' }
  const holds = Object.entries(evidence).every(
    ([name, wanted]) =>
      Object.hasOwn(claims, name) &&
      (claims[name] === wanted || (typeof wanted === 'string' && hasWord(claims[name], wanted))),
  )
  return holds ? { kind: 'access', sign: 'claims of access_token_evidence' } : undefined
}

/** What access tokens of many providers have and ID tokens have not. */
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
  // INDIGO IAM out of the box: neither scope nor groups. Its ID tokens have no `client_id`; those of Apereo CAS do, beside
  // `auth_time`.
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

import { sign } from 'node:crypto'
import { promisify } from 'node:util'
import type { Provider as ProviderType } from 'oidc-provider'
import { accessTokenClaims, audiencesOf } from './access-token-claims.ts'
import { Provider } from 'oidc-provider'
import { requestedAudiences, tokenIssuer, type ProviderState } from './state.ts'

const signAsync = promisify(sign)

/** The used part of the payload that oidc-provider stores for an access token. */
interface StoredToken {
  readonly jti: string
  readonly iat: number
  readonly exp: number
  readonly accountId?: string
  readonly clientId: string
  readonly grantId?: string
  readonly scope?: string
}

interface ValueAndPayload {
  readonly value: string
  readonly payload: StoredToken
}

/** The replaced methods of oidc-provider's token classes, which are not in its types. */
interface TokenClass {
  readonly prototype: { getValueAndPayload: (this: unknown) => Promise<ValueAndPayload> }
  find: (this: unknown, value: string, options?: object) => Promise<unknown>
}

/**
 * Makes access tokens JWTs in the formats of IAM that are also in the store of the provider, as in IAM. In
 * oidc-provider, a JWT access token is bound to a resource (RFC 8707), is not in the store and is refused at
 * UserInfo. Therefore the tokens stay "opaque" in oidc-provider, and only their value on the wire is replaced, in
 * both directions.
 */
export function installTokenFormat(provider: ProviderType, state: ProviderState): void {
  for (const model of [provider.AccessToken, provider.ClientCredentials]) {
    const tokenClass = model as unknown as TokenClass
    const original = tokenClass.prototype.getValueAndPayload
    tokenClass.prototype.getValueAndPayload = async function getValueAndPayload() {
      const { value, payload } = await original.call(this)
      remember(state.tokenAudiences, payload.jti, audiencesAtIssue(state, payload.grantId))
      if (state.tokens.format === 'opaque') return { value, payload }
      const token = await signAccessToken(state, payload)
      remember(state.tokenIds, token, payload.jti)
      return { value: token, payload }
    }
    const find = tokenClass.find
    tokenClass.find = async function findByValue(value, options) {
      const id = value.includes('.') ? state.tokenIds.get(value) : value
      return id === undefined ? undefined : find.call(this, id, options)
    }
  }
}

/** Returns the audiences of a new token: those of the current request, or those of its grant. */
function audiencesAtIssue(state: ProviderState, grantId: string | undefined): readonly string[] {
  const requested = requestedAudiences(Provider.ctx?.oidc?.body ?? {})
  const granted = grantId === undefined ? [] : (state.grants.get(grantId)?.audiences ?? [])
  return audiencesOf(state.tokens, requested.length > 0 ? requested : granted)
}

async function signAccessToken(state: ProviderState, token: StoredToken): Promise<string> {
  const { current } = state.keys
  const typ = state.tokens.typ
  const header = { kid: current.kid, alg: 'RS256', ...(typ !== undefined && { typ }) }
  const claims = accessTokenClaims(state.tokens, {
    issuer: tokenIssuer(state),
    jti: token.jti,
    clientId: token.clientId,
    user: state.users.bySub(token.accountId),
    scopes: new Set(token.scope?.split(' ')),
    audiences: state.tokenAudiences.get(token.jti) ?? [],
    act: token.grantId === undefined ? undefined : state.grants.get(token.grantId)?.act,
    issuedAt: token.iat,
    expiresAt: token.exp,
  })
  const input = `${encode(header)}.${encode(claims)}`
  const signature = await signAsync('sha256', Buffer.from(input), current.privateKey)
  return `${input}.${signature.toString('base64url')}`
}

function remember<T>(values: Map<string, T>, key: string, value: T): void {
  values.set(key, value)
  const oldest = values.keys().next()
  if (values.size > 20_000 && !oldest.done) values.delete(oldest.value)
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

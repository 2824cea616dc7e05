import { sign } from 'node:crypto'
import { promisify } from 'node:util'
import type { Provider as ProviderType } from 'oidc-provider'
import { accessTokenClaims, audiencesOf } from './access-token-claims.ts'
import { Provider } from 'oidc-provider'
import { requestedAudiences, tokenIssuer, type ProviderState } from './state.ts'

const signAsync = promisify(sign)

/** The payload that oidc-provider keeps of an access token, as far as it matters here. */
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

/** The parts of oidc-provider's token classes that we replace; its types leave them out. */
interface TokenClass {
  readonly prototype: { getValueAndPayload: (this: unknown) => Promise<ValueAndPayload> }
  find: (this: unknown, value: string, options?: object) => Promise<unknown>
}

/**
 * Makes access tokens JWTs in IAM's shapes that stay in the provider's store all the same, as in IAM. To oidc-provider a
 * JWT access token is bound to a resource (RFC 8707), cannot be looked up and is refused at UserInfo; so the tokens stay
 * "opaque" to it, and only their value on the wire is replaced, both ways.
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

/** Audiences for a new token: of the request at hand, else those that its grant was made with. */
function audiencesAtIssue(state: ProviderState, grantId: string | undefined): readonly string[] {
  const asked = requestedAudiences(Provider.ctx?.oidc?.body ?? {})
  const granted = grantId === undefined ? [] : (state.grants.get(grantId)?.audiences ?? [])
  return audiencesOf(state.tokens, asked.length > 0 ? asked : granted)
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

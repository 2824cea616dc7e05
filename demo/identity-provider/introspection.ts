import type { KoaContextWithOIDC, Provider } from 'oidc-provider'
import { groupClaims } from './access-token-claims.ts'
import { tokenIssuer, type ProviderState } from './state.ts'

/** The answer of oidc-provider for an active token. */
interface StandardAnswer {
  readonly active: boolean
  readonly sub?: string
  readonly client_id?: string
  readonly exp?: number
  readonly iat?: number
  readonly scope?: string
  /** Absent for a refresh token. */
  readonly token_type?: string
}

/** Converts introspection answers (RFC 7662) to the format of IAM, which accepts clients by HTTP Basic only there. */
export function installIntrospectionShape(provider: Provider, state: ProviderState): void {
  provider.use(async (ctx: KoaContextWithOIDC, next) => {
    if (ctx.path === '/introspect' && ctx.get('authorization') === '') {
      const error_description = 'Full authentication is required to access this resource'
      ctx.status = 401
      ctx.body = { error: 'unauthorized', error_description }
      return
    }
    await next()
    const body = ctx.body as StandardAnswer | undefined
    if (ctx.path !== '/introspect' || ctx.status !== 200 || body?.active !== true) return
    ctx.body = shape(state, body, idOf(ctx))
  })
}

function idOf(ctx: KoaContextWithOIDC): string {
  const { AccessToken, ClientCredentials } = ctx.oidc.entities
  return AccessToken?.jti ?? ClientCredentials?.jti ?? ''
}

function shape(state: ProviderState, answer: StandardAnswer, id: string): Record<string, unknown> {
  const user = state.users.bySub(answer.sub)
  const scopes = new Set(answer.scope?.split(' '))
  const audiences = state.tokenAudiences.get(id) ?? []
  const isNewFormat = state.tokens.introspection === 'iam-2026'
  const type = isNewFormat ? 'ACCESS_TOKEN' : 'Bearer'
  return {
    active: true,
    iss: isNewFormat ? tokenIssuer(state) : state.issuer,
    sub: user?.sub ?? answer.client_id,
    client_id: answer.client_id,
    scope: answer.scope,
    exp: answer.exp,
    ...(audiences.length > 0 && { aud: isNewFormat ? audiences : audiences.join(' ') }),
    ...(isNewFormat
      ? { iat: answer.iat, nbf: answer.iat, username: user?.username }
      : { expires_at: expiresAt(answer.exp), user_id: user?.username }),
    ...(answer.token_type !== undefined && { token_type: type }),
    ...(user !== undefined &&
      scopes.has('profile') && {
        ...groupClaims({ ...state.tokens, includeAuthnInfo: true }, user, scopes),
        name: user.name,
        preferred_username: user.username,
        organisation_name: 'demo',
      }),
    ...(user !== undefined && scopes.has('email') && { email: user.email }),
  }
}

function expiresAt(exp: number | undefined): string | undefined {
  return exp === undefined ? undefined : new Date(exp * 1000).toISOString()
}

import type { Provider, RefreshToken, TokenEndpointGrantContext } from 'oidc-provider'
import { oauthError, type Refusal } from './oauth-error.ts'
import type { ProviderState } from './state.ts'
import { refusalOfSuspended, refusalWithoutAup } from './users.ts'

/** Properties that a new refresh token inherits. */
const INHERITED = [
  'accountId',
  'acr',
  'amr',
  'authTime',
  'claims',
  'expiresWithSession',
  'grantId',
  'gty',
  'nonce',
  'scope',
  'sessionUid',
  'sid',
] as const

/**
 * Replaces the refresh grant of oidc-provider (RFC 6749 section 6) by one with the rules and words of INDIGO IAM: a
 * token presented by another client stays valid; a rotated one ends immediately or after the grace period, and with it
 * the access tokens that were issued before.
 */
export function installRefreshRules(provider: Provider, state: ProviderState): void {
  provider.registerGrantType(
    'refresh_token',
    async (ctx) => {
      ctx.body = await refresh(provider, state, ctx)
    },
    ['refresh_token', 'scope', 'audience', 'aud', 'resource'],
  )
}

async function refresh(
  provider: Provider,
  state: ProviderState,
  ctx: TokenEndpointGrantContext,
): Promise<Record<string, unknown>> {
  const { client, params } = ctx.oidc
  const value = params['refresh_token']
  const presented = typeof value === 'string' ? value : ''
  const token = await provider.RefreshToken.find(presented)
  const user = state.users.bySub(token?.accountId)
  if (token === undefined || user === undefined || isRotated(token, state)) {
    // IAM quotes the token.
    throw refusal(401, 'invalid_token', `Refresh token for value ${presented} was not found`)
  }
  const standing = refusalOfSuspended(user) ?? refusalWithoutAup(user)
  if (standing !== undefined) throw oauthError(standing)
  if (token.clientId !== client.clientId) {
    throw refusal(401, 'invalid_client', 'Client does not own the presented refresh token')
  }
  const scope = narrowScope(token, params.scope)
  const next = await nextRefreshToken(token, { provider, state, ctx })
  const accessToken = new provider.AccessToken({ ...inheritedProperties(token), client, scope })
  return {
    access_token: await accessToken.save(),
    token_type: 'Bearer',
    expires_in: accessToken.expiration,
    scope,
    ...(next !== presented || state.tokens.repeatRefreshToken ? { refresh_token: next } : {}),
  }
}

function refusal(status: number, error: string, description: string): Error {
  return oauthError({ status, error, description } satisfies Refusal)
}

/** `consumed` is in seconds since the epoch. */
function isRotated(token: RefreshToken, state: ProviderState): boolean {
  if (token.consumed === undefined) return false
  const usedAt = Number(token.consumed) * 1000
  return Date.now() >= usedAt + state.tokens.rotationGraceSeconds * 1000
}

/** Returns the requested scope, which must not exceed the granted one (RFC 6749 section 6). */
function narrowScope(token: RefreshToken, requested: string | undefined): string {
  if (requested === undefined || requested === '') return token.scope ?? ''
  if (requested.split(' ').every((scope) => token.scopes.has(scope))) return requested
  throw refusal(400, 'invalid_scope', 'Up-scoping is not allowed.')
}

interface Parts {
  readonly provider: Provider
  readonly state: ProviderState
  readonly ctx: TokenEndpointGrantContext
}

/** Returns the refresh token for the next time: the same one, or a new one with a full lifetime. */
async function nextRefreshToken(
  token: RefreshToken,
  { provider, state, ctx }: Parts,
): Promise<string> {
  if (state.tokens.reuseRefreshToken) return token.jti
  if (state.tokens.rotationGraceSeconds > 0) await token.consume()
  else {
    await token.destroy()
    await provider.AccessToken.revokeByGrantId(token.grantId ?? '')
  }
  return new provider.RefreshToken({
    ...inheritedProperties(token),
    client: ctx.oidc.client,
  }).save()
}

function inheritedProperties(token: RefreshToken) {
  const properties = token as unknown as Readonly<Record<string, unknown>>
  const entries = INHERITED.map((name) => [name, properties[name]] as const)
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as {
    accountId: string
    grantId: string
    gty: string
    scope: string
  }
}

import type { Provider, RefreshToken, TokenEndpointGrantContext } from 'oidc-provider'
import { oauthError, type Refusal } from './oauth-error.ts'
import type { ProviderState } from './state.ts'
import { refusalByStanding } from './users.ts'

/** What stays the same when a refresh token is replaced. */
const KEPT = [
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
 * Refresh (RFC 6749 section 6) by the rules of INDIGO IAM, in place of oidc-provider's: a token that another client shows is
 * deleted; a rotated one is gone at once, or after the grace period, and takes nothing else with it.
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
  const shown = typeof value === 'string' ? value : ''
  const token = await provider.RefreshToken.find(shown)
  if (token === undefined) throw refusal('invalid_grant', 'refresh token not found or expired')
  if (token.clientId !== client.clientId) {
    await token.destroy()
    throw refusal('invalid_grant', 'client does not own the presented refresh token')
  }
  if (rotatedAway(token, state)) throw refusal('invalid_grant', 'refresh token already used')
  const user = state.users.bySub(token.accountId)
  if (user === undefined) throw refusal('invalid_grant', 'refresh token not found or expired')
  const standing = refusalByStanding(user)
  if (standing !== undefined) throw oauthError(standing)
  const scope = narrowed(token, params.scope)
  const next = await replaced(token, { provider, state, ctx })
  const accessToken = new provider.AccessToken({ ...kept(token), client, scope })
  return {
    access_token: await accessToken.save(),
    token_type: 'Bearer',
    expires_in: accessToken.expiration,
    scope,
    ...(next !== shown || state.tokens.repeatRefreshToken ? { refresh_token: next } : {}),
  }
}

function refusal(error: string, description: string): Error {
  return oauthError({ status: 400, error, description } satisfies Refusal)
}

/** `consumed` is in seconds since the epoch. */
function rotatedAway(token: RefreshToken, state: ProviderState): boolean {
  if (token.consumed === undefined) return false
  const usedAt = Number(token.consumed) * 1000
  return Date.now() >= usedAt + state.tokens.rotationGraceSeconds * 1000
}

/** RFC 6749 section 6: never more than was granted. */
function narrowed(token: RefreshToken, asked: string | undefined): string {
  if (asked === undefined || asked === '') return token.scope ?? ''
  if (asked.split(' ').every((scope) => token.scopes.has(scope))) return asked
  throw refusal('invalid_scope', 'up-scoping is not allowed')
}

interface Parts {
  readonly provider: Provider
  readonly state: ProviderState
  readonly ctx: TokenEndpointGrantContext
}

/** The token for the next time: the same, or a new one with a whole life before it. */
async function replaced(token: RefreshToken, { provider, state, ctx }: Parts): Promise<string> {
  if (!state.tokens.rotateRefreshTokens) return token.jti
  if (state.tokens.rotationGraceSeconds > 0) await token.consume()
  else await token.destroy()
  return new provider.RefreshToken({ ...kept(token), client: ctx.oidc.client }).save()
}

function kept(token: RefreshToken) {
  const known = token as unknown as Readonly<Record<string, unknown>>
  const entries = KEPT.map((name) => [name, known[name]] as const)
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as {
    accountId: string
    grantId: string
    gty: string
    scope: string
  }
}

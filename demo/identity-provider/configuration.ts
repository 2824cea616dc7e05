import { randomBytes } from 'node:crypto'
import type { Configuration, KoaContextWithOIDC } from 'oidc-provider'
import { SCOPES } from './clients.ts'
import { devicePages } from './device-pages.ts'
import { createMemoryAdapter } from './memory-adapter.ts'
import { requestedAudiences, type ProviderState } from './state.ts'
import { userInfoClaims } from './users.ts'

/** Returns the configuration that makes oidc-provider behave like an INDIGO IAM. */
export function configurationOf(state: ProviderState): Configuration {
  return {
    adapter: createMemoryAdapter(),
    clients: state.clients.metadata,
    jwks: { keys: [state.keys.firstJwk()] },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    responseTypes: ['code'],
    scopes: SCOPES,
    claims: {
      openid: ['sub'],
      profile: ['name', 'preferred_username', 'organisation_name', 'groups'],
      email: ['email', 'email_verified'],
      'wlcg.groups': ['wlcg.groups'],
      eduperson_entitlement: ['eduperson_entitlement'],
    },
    routes: {
      authorization: '/authorize',
      token: '/token',
      userinfo: '/userinfo',
      jwks: '/jwk',
      introspection: '/introspect',
      revocation: '/revoke',
      device_authorization: '/devicecode',
      code_verification: '/device',
    },
    extraParams: ['audience', 'aud', 'resource'],
    features: {
      devInteractions: { enabled: false },
      dPoP: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      resourceIndicators: { enabled: false },
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true, ...devicePages },
      revocation: {
        enabled: true,
        allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId,
      },
      introspection: {
        enabled: true,
        allowedPolicy: (_ctx, client, token) =>
          client.clientAuthMethod !== 'none' && isActiveUser(state, accountOf(token)),
      },
    },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    pkce: { required: (_ctx, client) => client.clientAuthMethod === 'none' },
    ttl: lifetimes(state),
    expiresWithSession: () => false,
    findAccount: (_ctx, sub) => findAccount(state, sub),
    loadExistingGrant: (ctx) => grantEverything(state, ctx),
    clientBasedCORS: () => false,
  }
}

function lifetimes(state: ProviderState): Configuration['ttl'] {
  return {
    AccessToken: () => state.tokens.lifetimeSeconds,
    ClientCredentials: () => state.tokens.lifetimeSeconds,
    RefreshToken: () => state.tokens.refreshLifetimeSeconds,
    DeviceCode: 600,
    IdToken: 600,
    // Longer than any chain of rotated refresh tokens.
    Grant: 10 * 365 * 24 * 3600,
    Interaction: 600,
    Session: 3600,
  }
}

/** Returns whether the tokens of a user are active. A token of a client has no user. */
function isActiveUser(state: ProviderState, sub: string | undefined): boolean {
  if (sub === undefined) return true
  const user = state.users.bySub(sub)
  if (user === undefined) return false
  return user.suspended !== true || state.tokens.suspension === 'at_refresh'
}

function accountOf(token: object): string | undefined {
  return 'accountId' in token && typeof token.accountId === 'string' ? token.accountId : undefined
}

function findAccount(state: ProviderState, sub: string) {
  const user = state.users.bySub(sub)
  if (user === undefined || !isActiveUser(state, sub)) return undefined
  return { accountId: sub, claims: () => userInfoClaims(user) }
}

/** Gives consent automatically: a new grant for every authorization request, with everything that it requests. */
async function grantEverything(state: ProviderState, ctx: KoaContextWithOIDC) {
  const { provider, client, session, params } = ctx.oidc
  const grant = new provider.Grant({ clientId: client?.clientId, accountId: session?.accountId })
  grant.addOIDCScope(typeof params?.['scope'] === 'string' ? params['scope'] : 'openid')
  const grantId = await grant.save()
  // IAM ignores the audience of a device code request; clients name it at the token endpoint.
  const isDevice = ctx.path.startsWith('/device')
  state.grants.set(grantId, { audiences: isDevice ? [] : requestedAudiences(params ?? {}) })
  return grant
}

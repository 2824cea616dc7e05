import type { AccessToken, Provider, TokenEndpointGrantContext } from 'oidc-provider'
import { SCOPES, TOKEN_EXCHANGE_GRANT } from '../clients.ts'
import { oauthError } from '../oauth-error.ts'
import { requestedAudiences, type ProviderState } from '../state.ts'
import { noActor } from './no-actor.ts'
import { grantEnabled } from './grant-enabled.ts'
import { noOfflineAccess } from './no-offline-access.ts'
import { noOfflineBySameClient } from './no-offline-by-same-client.ts'
import type { ExchangeRequest, ExchangeRule, SubjectToken } from './request.ts'
import { resourceAbsolute } from './resource-absolute.ts'
import { scopeRequired } from './scope-required.ts'
import { scopesAllowed } from './scopes-allowed.ts'
import { subjectTokenStored } from './subject-token-stored.ts'
import { userInGoodStanding } from './user-in-good-standing.ts'

/** The rules of IAM, in its order. */
const rules: readonly ExchangeRule[] = [
  grantEnabled,
  noActor,
  scopeRequired,
  subjectTokenStored,
  resourceAbsolute,
  scopesAllowed,
  noOfflineBySameClient,
  noOfflineAccess,
  userInGoodStanding,
]

const PARAMETERS = [
  'subject_token',
  'subject_token_type',
  'requested_token_type',
  'scope',
  'audience',
  'aud',
  'resource',
  'actor_token',
  'actor_token_type',
  'want_composite',
]

/** Adds token exchange (RFC 8693) with the rules of INDIGO IAM. */
export function installTokenExchange(provider: Provider, state: ProviderState): void {
  provider.registerGrantType(
    TOKEN_EXCHANGE_GRANT,
    async (ctx) => {
      const request = await exchangeRequest(state, ctx)
      for (const rule of rules) {
        const refusal = rule(request)
        if (refusal !== undefined) throw oauthError(refusal)
      }
      ctx.body = await exchange(request, ctx)
    },
    PARAMETERS,
  )
}

async function exchangeRequest(
  state: ProviderState,
  ctx: TokenEndpointGrantContext,
): Promise<ExchangeRequest> {
  const { params, client, provider } = ctx.oidc
  const value = params['subject_token']
  const token = typeof value === 'string' ? await provider.AccessToken.find(value) : undefined
  return {
    state,
    client,
    parameters: params,
    scopes: new Set(params.scope?.split(' ').filter(Boolean)),
    subject: token === undefined ? undefined : subjectToken(state, token),
    allowedScopes: () => new Set(SCOPES),
  }
}

function subjectToken(state: ProviderState, token: AccessToken): SubjectToken {
  return {
    clientId: token.clientId ?? '',
    user: state.users.bySub(token.accountId),
    scopes: token.scopes,
    act: state.grants.get(token.grantId)?.act,
  }
}

async function exchange(request: ExchangeRequest, ctx: TokenEndpointGrantContext) {
  const { provider } = ctx.oidc
  const { client, state, subject } = request
  const accountId = subject?.user?.sub ?? ''
  const scope = [...request.scopes].join(' ')
  const grant = new provider.Grant({ clientId: client.clientId, accountId })
  grant.addOIDCScope(scope)
  const grantId = await grant.save()
  state.grants.set(grantId, {
    audiences: requestedAudiences(request.parameters),
    act: { sub: client.clientId, ...(subject?.act !== undefined && { act: subject.act }) },
  })
  const common = { client, accountId, grantId, gty: 'token_exchange', scope }
  const accessToken = new provider.AccessToken(common)
  const withRefresh =
    request.scopes.has('offline_access') &&
    client.grantTypeAllowed('refresh_token') &&
    state.tokens.offlineAccessByExchange === 'given'
  return {
    access_token: await accessToken.save(),
    issued_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_type: 'Bearer',
    expires_in: accessToken.expiration,
    scope,
    ...(withRefresh && { refresh_token: await new provider.RefreshToken(common).save() }),
  }
}

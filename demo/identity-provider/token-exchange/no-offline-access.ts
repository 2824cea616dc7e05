import type { ExchangeRule } from './request.ts'

/** Keycloak refuses offline access by token exchange. */
export const noOfflineAccess: ExchangeRule = ({ state, scopes }) => {
  if (state.tokens.offlineAccessByExchange !== 'refused') return undefined
  if (!scopes.has('offline_access')) return undefined
  return {
    status: 400,
    error: 'invalid_request',
    description: 'Scope offline_access not allowed for token exchange',
  }
}

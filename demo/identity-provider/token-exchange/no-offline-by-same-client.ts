import type { ExchangeRule } from './request.ts'

/**
 * A client may not turn its own access token into a refresh token: it could then renew forever (indigo-iam/iam#392).
 */
export const noOfflineBySameClient: ExchangeRule = ({ scopes, subject, client }) => {
  if (subject?.clientId !== client.clientId || !scopes.has('offline_access')) return undefined
  return {
    status: 403,
    error: 'access_denied',
    description:
      'Token exchange not allowed: the actor and the subject are the same client and offline_access is in the requested scopes',
  }
}

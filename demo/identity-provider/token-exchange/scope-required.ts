import type { ExchangeRule } from './request.ts'

/** IAM requires `scope`, which is optional in RFC 8693. */
export const scopeRequired: ExchangeRule = ({ scopes }) =>
  scopes.size > 0
    ? undefined
    : {
        status: 400,
        error: 'invalid_request',
        description: 'The scope parameter is required for a token exchange request!',
      }

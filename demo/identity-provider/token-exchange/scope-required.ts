import type { ExchangeRule } from './request.ts'

/** IAM demands `scope`, which RFC 8693 leaves optional. */
export const scopeRequired: ExchangeRule = ({ scopes }) =>
  scopes.size > 0
    ? undefined
    : { status: 400, error: 'invalid_request', description: 'scope parameter is required' }

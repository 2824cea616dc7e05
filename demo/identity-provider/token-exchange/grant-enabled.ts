import type { ExchangeRule } from './request.ts'

/** An administrator must have enabled the grant for the client. */
export const grantEnabled: ExchangeRule = ({ state, client }) =>
  state.clients.exchangeAllowed.has(client.clientId)
    ? undefined
    : { status: 401, error: 'invalid_client', description: 'Unauthorized grant type' }

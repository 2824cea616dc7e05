import type { ExchangeRule } from './request.ts'

/** The grant has to be switched on for the client, by an administrator. */
export const grantEnabled: ExchangeRule = ({ state, client }) =>
  state.clients.exchangeAllowed.has(client.clientId)
    ? undefined
    : { status: 401, error: 'invalid_client', description: 'grant type not allowed to the client' }

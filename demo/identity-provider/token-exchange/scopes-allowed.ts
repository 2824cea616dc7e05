import type { ExchangeRule } from './request.ts'

/** The subject token's client and the requesting client must both be allowed to have each scope. */
export const scopesAllowed: ExchangeRule = ({ scopes, subject, client, allowedScopes }) => {
  const ours = allowedScopes(client.clientId)
  const theirs = allowedScopes(subject?.clientId ?? client.clientId)
  const refused = [...scopes].find((scope) => !ours.has(scope) || !theirs.has(scope))
  if (refused === undefined) return undefined
  const description = `Scope '${refused}' not allowed for client '${client.clientId}'`
  return { status: 400, error: 'invalid_scope', description }
}

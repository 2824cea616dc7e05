import type { ExchangeRule } from './request.ts'

/** Each scope must be allowed to the subject token's client and to ours. */
export const scopesAllowed: ExchangeRule = ({ scopes, subject, client, allowedScopes }) => {
  const ours = allowedScopes(client.clientId)
  const theirs = allowedScopes(subject?.clientId ?? client.clientId)
  const refused = [...scopes].find((scope) => !ours.has(scope) || !theirs.has(scope))
  if (refused === undefined) return undefined
  return { status: 400, error: 'invalid_scope', description: `scope not allowed: ${refused}` }
}

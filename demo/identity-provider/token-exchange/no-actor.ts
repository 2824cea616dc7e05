import type { ExchangeRule } from './request.ts'

/** IAM supports neither actor tokens nor `want_composite`. */
export const noActor: ExchangeRule = ({ parameters }) => {
  const named = ['actor_token', 'want_composite'].find((name) => parameters[name] !== undefined)
  if (named === undefined) return undefined
  return { status: 400, error: 'invalid_request', description: 'Delegation not supported' }
}

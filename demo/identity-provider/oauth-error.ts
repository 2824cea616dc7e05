import { errors } from 'oidc-provider'

/** A reason to refuse: HTTP status, OAuth error and description. */
export interface Refusal {
  readonly status: number
  readonly error: string
  readonly description: string
}

/** The refusal as oidc-provider answers it. */
export function oauthError(refusal: Refusal): Error {
  const error = new errors.CustomOIDCProviderError(refusal.error, refusal.description)
  return Object.assign(error, { status: refusal.status, statusCode: refusal.status })
}

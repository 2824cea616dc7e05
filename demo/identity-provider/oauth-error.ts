import { errors } from 'oidc-provider'

/** A refusal: HTTP status, OAuth error and description. */
export interface Refusal {
  readonly status: number
  readonly error: string
  readonly description: string
}

/** Converts a refusal to an error of oidc-provider. */
export function oauthError(refusal: Refusal): Error {
  const error = new errors.CustomOIDCProviderError(refusal.error, refusal.description)
  return Object.assign(error, { status: refusal.status, statusCode: refusal.status })
}

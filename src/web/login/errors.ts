/** The errors of a login, with messages for the user. */
import * as oidc from 'openid-client'
import { TtsError } from '../../base/errors.ts'
import { describeFailure, unavailable } from '../../tokens/refusals.ts'

/**
 * Messages for error codes of RFC 6749 section 4.1.2.1 and OpenID Connect Core section 3.1.2.6. Other codes are shown
 * as they are.
 */
const messages: Readonly<Record<string, string>> = {
  access_denied: 'you cancelled the login, or your provider does not let you use this service',
  login_required: 'you are not logged in at the provider',
  interaction_required: 'the provider needs an answer from you first: log in there, then come back',
  consent_required: 'you have not yet agreed to share your identity with this service',
  account_selection_required: 'choose an account at the provider',
  invalid_scope: 'it does not grant the scopes that this service requests',
  unauthorized_client: 'this service is not registered there for logins',
  unsupported_response_type: 'this service is not registered there for logins',
  invalid_request: 'it rejected the request of this service as invalid',
  server_error: 'the provider failed: try again later',
  temporarily_unavailable: 'it is busy: try again later',
}

/** Converts an error of openid-client to a TtsError. Its description is text of the provider and is not repeated. */
export function loginError(error: unknown, providerId: string): TtsError {
  if (error instanceof TtsError) return error
  if (error instanceof oidc.AuthorizationResponseError) {
    return loginRefusal(
      `the identity provider did not log you in: ${describeReason(error.error)}`,
      'provider_refused',
      `Check providers.${providerId}.login: the provider answered ${safeCode(error.error)} at the authorization endpoint.`,
    )
  }
  if (error instanceof oidc.ResponseBodyError && error.status < 500)
    return tokenRefusal(error, providerId)
  const code = error instanceof oidc.ClientError ? error.code : undefined
  if (code !== undefined && MISMATCHES.has(code)) {
    return loginRefusal(
      'the answer of the identity provider does not match the login that this browser started: log in again',
      'login_answer',
      `Check providers.${providerId}: ${code}.`,
    )
  }
  return unavailable(providerId, error)
}

/** The answer belongs to another request, or the ID token is not valid. */
const MISMATCHES: ReadonlySet<string> = new Set([
  'OAUTH_INVALID_RESPONSE',
  'OAUTH_JWT_CLAIM_COMPARISON_FAILED',
  'OAUTH_JWT_TIMESTAMP_CHECK_FAILED',
  'OAUTH_KEY_SELECTION_FAILED',
])

function tokenRefusal(error: oidc.ResponseBodyError, providerId: string): TtsError {
  const remedy = `Check providers.${providerId}: ${describeFailure(error)} at the token endpoint.`
  if (error.error === 'invalid_grant') {
    return loginRefusal(
      'the login took too long, or its page was loaded twice: log in again',
      'code',
      remedy,
    )
  }
  const isClientRefused = error.error === 'invalid_client' || error.error === 'unauthorized_client'
  return loginRefusal(
    isClientRefused
      ? 'the identity provider does not accept this service as its client: tell the operator of this service'
      : `the identity provider did not complete the login: ${describeReason(error.error)}`,
    'provider_refused',
    remedy,
  )
}

function loginRefusal(message: string, check: string, remedy: string): TtsError {
  return new TtsError('access_denied', message, { check, remedy })
}

function describeReason(code: string): string {
  return messages[code] ?? `it reports ${safeCode(code)}`
}

function safeCode(code: string): string {
  return /^[a-z_]{1,40}$/.test(code) ? code : 'an error'
}

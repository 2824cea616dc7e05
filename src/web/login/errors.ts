/** What can go wrong at a login, in words. */
import * as oidc from 'openid-client'
import { TtsError } from '../../base/errors.ts'
import { inWords, unavailable } from '../../tokens/refusals.ts'

/** Error codes of RFC 6749 section 4.1.2.1 and OpenID Connect Core section 3.1.2.6. What is not here is named by its code. */
const words: Readonly<Record<string, string>> = {
  access_denied: 'you did not agree there, or you may not log in to this service',
  login_required: 'you are not logged in there',
  interaction_required: 'it has to ask you something first: log in there, then come back',
  consent_required: 'you have not agreed yet that this service learns who you are',
  account_selection_required: 'you have to choose an account there',
  invalid_scope: 'it does not grant what this service asks for (scopes)',
  unauthorized_client: 'it does not let this service log people in',
  unsupported_response_type: 'it does not let this service log people in',
  invalid_request: 'it does not understand the request of this service',
  server_error: 'something failed there: try again later',
  temporarily_unavailable: 'it is busy: try again later',
}

/** Turns an error of openid-client into ours. Descriptions that come with it are from outside and are not repeated. */
export function loginError(error: unknown, providerId: string): TtsError {
  if (error instanceof TtsError) return error
  if (error instanceof oidc.AuthorizationResponseError) {
    return refused(
      `the identity provider did not log you in: ${reasonOf(error.error)}`,
      'provider_refused',
      `Check providers.${providerId}.login: the provider answered ${safeCode(error.error)} at the authorization endpoint.`,
    )
  }
  if (error instanceof oidc.ResponseBodyError && error.status < 500)
    return tokenRefusal(error, providerId)
  const code = error instanceof oidc.ClientError ? error.code : undefined
  if (code !== undefined && MISMATCHES.has(code)) {
    return refused(
      'the answer of the identity provider does not belong to a login that was begun here: log in again',
      'login_answer',
      `Check providers.${providerId}: ${code}.`,
    )
  }
  return unavailable(providerId, error)
}

/** The answer is for another request, or the ID token is not what it must be. */
const MISMATCHES: ReadonlySet<string> = new Set([
  'OAUTH_INVALID_RESPONSE',
  'OAUTH_JWT_CLAIM_COMPARISON_FAILED',
  'OAUTH_JWT_TIMESTAMP_CHECK_FAILED',
  'OAUTH_KEY_SELECTION_FAILED',
])

function tokenRefusal(error: oidc.ResponseBodyError, providerId: string): TtsError {
  const remedy = `Check providers.${providerId}: ${inWords(error)} at the token endpoint.`
  if (error.error === 'invalid_grant') {
    return refused(
      'the login was not completed in time, or its page was opened twice: log in again',
      'code',
      remedy,
    )
  }
  const isOurs = error.error === 'invalid_client' || error.error === 'unauthorized_client'
  return refused(
    isOurs
      ? 'the identity provider does not accept this service as its client: tell its operator'
      : `the identity provider did not complete the login: ${reasonOf(error.error)}`,
    'provider_refused',
    remedy,
  )
}

function refused(message: string, check: string, remedy: string): TtsError {
  return new TtsError('access_denied', message, { check, remedy })
}

function reasonOf(code: string): string {
  return words[code] ?? `it says ${safeCode(code)}`
}

function safeCode(code: string): string {
  return /^[a-z_]{1,40}$/.test(code) ? code : 'an error'
}

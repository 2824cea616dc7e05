/** Errors in the format of OAuth (RFC 6749 section 5.2): the one table from our codes to those of OAuth. */
import type { Response } from 'express'
import { TtsError, type TtsErrorCode } from '../../base/errors.ts'
import { errorCodes, problemsUrl } from '../error-codes.ts'
import { answerTo, escapeQuoted } from '../problem.ts'

/** Codes of RFC 6749 sections 4.1.2.1 and 5.2, and of RFC 8693 section 2.2.2. */
type OAuthError =
  | 'invalid_client'
  | 'invalid_request'
  | 'invalid_scope'
  | 'invalid_target'
  | 'server_error'
  | 'temporarily_unavailable'
  | 'unsupported_grant_type'

/**
 * Refusals that OAuth has a code of its own for; the key is the `check` of an `invalid_request`.
 */
const byCheck: Readonly<Record<string, OAuthError>> = {
  client_authentication: 'invalid_client',
  grant_type: 'unsupported_grant_type',
  scope: 'invalid_scope',
  target: 'invalid_target',
}

/**
 * A subject token that is invalid or unacceptable by policy is an `invalid_request` with status 400 (RFC 8693 section
 * 2.2.2), not an `invalid_grant`. Statuses above 400 that are about the HTTP message stay.
 */
const byCode = {
  invalid_request: 'invalid_request',
  invalid_csr: 'invalid_request',
  missing_token: 'invalid_request',
  invalid_token: 'invalid_request',
  insufficient_scope: 'invalid_request',
  access_denied: 'invalid_request',
  grant_refused: 'invalid_request',
  delegation_ended: 'invalid_request',
  conflict: 'invalid_request',
  not_found: 'invalid_request',
  method_not_allowed: 'invalid_request',
  not_acceptable: 'invalid_request',
  request_timeout: 'invalid_request',
  payload_too_large: 'invalid_request',
  unsupported_media_type: 'invalid_request',
  expectation_failed: 'invalid_request',
  limit_reached: 'temporarily_unavailable',
  provider_unavailable: 'temporarily_unavailable',
  store_unavailable: 'temporarily_unavailable',
  overloaded: 'temporarily_unavailable',
  shutting_down: 'temporarily_unavailable',
  plugin_failed: 'server_error',
  configuration: 'server_error',
  internal: 'server_error',
} as const satisfies Record<TtsErrorCode, OAuthError>

/** Codes whose status says something about the HTTP message, or when to try again. */
const keepsStatus: ReadonlySet<TtsErrorCode> = new Set([
  'method_not_allowed',
  'request_timeout',
  'payload_too_large',
  'unsupported_media_type',
  'expectation_failed',
  'limit_reached',
])

/** Returns `error` and status of an error. */
export function oauthErrorOf(failure: TtsError): {
  readonly error: OAuthError
  readonly status: number
} {
  const { code, check } = failure
  const own = code === 'invalid_request' && check !== undefined ? byCheck[check] : undefined
  const error = own ?? byCode[code]
  if (error === 'invalid_client') return { error, status: 401 }
  const { status } = errorCodes[code]
  return { error, status: status >= 500 || keepsStatus.has(code) ? status : 400 }
}

/** Sends an error, never with its cause. `error_uri` is the page that explains our own code. */
export function sendOAuthError(
  response: Response,
  failure: TtsError,
  { requestId, publicUrl }: { readonly requestId: string; readonly publicUrl: string | undefined },
): void {
  const { error, status } = oauthErrorOf(failure)
  const { isHidden, retryAfterSeconds } = answerTo(failure)
  if (retryAfterSeconds !== undefined) response.setHeader('Retry-After', String(retryAfterSeconds))
  // RFC 6749 section 5.2: the scheme that the client used.
  if (error === 'invalid_client' && usedBasic(response))
    response.setHeader('WWW-Authenticate', 'Basic realm="tts"')
  sendOAuthJson(response, status, {
    error,
    error_description: isHidden
      ? 'the service failed; its log has the cause under the request id'
      : escapeQuoted(failure.message),
    error_uri: `${problemsUrl(publicUrl)}/${failure.code}`,
    ...(failure.check === undefined || isHidden ? {} : { check: failure.check }),
    request_id: requestId,
  })
}

/** Sends JSON that no cache keeps. @see RFC 6749 section 5.1 */
export function sendOAuthJson(response: Response, status: number, body: object): void {
  response
    .status(status)
    .setHeader('Cache-Control', 'no-store')
    .setHeader('Pragma', 'no-cache')
    .setHeader('Content-Type', 'application/json')
    .end(JSON.stringify(body))
}

function usedBasic({ req: request }: Response): boolean {
  return /^basic(\s|$)/i.test(request.get('authorization') ?? '')
}

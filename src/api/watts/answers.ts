/** Answers in the format of WaTTS: JSON that must not be cached, and errors of one shape. */
import type { Response } from 'express'
import { TtsError, type TtsErrorCode } from '../../base/errors.ts'

/** Texts of WaTTS, word for word, because its clients know them. */
export const wattsMessages = {
  badRequest: 'Bad request, please check all parameter',
  notAllowed: 'you are not allowed to use this service',
  invalidParameters: 'invalid parameter have been passed',
  unknownError: 'unknown error occured, please contact the admin',
  notIdentified: "sorry, you can't be identified",
  invalidToken: 'invalid token has been received',
  notFound: 'Sorry, the requested data was not found',
} as const

/** Returns the error of WaTTS for a malformed request. */
export function badRequest(): TtsError {
  return new TtsError('invalid_request', wattsMessages.badRequest, { check: 'request' })
}

/** Sends JSON. Answers with secrets need a `cacheControl` with `no-store`. */
export function sendJson(
  response: Response,
  body: object,
  { status = 200, cacheControl = 'no-cache' }: { status?: number; cacheControl?: string } = {},
): void {
  response
    .status(status)
    .setHeader('Content-Type', 'application/json')
    .setHeader('Cache-Control', cacheControl)
    .end(JSON.stringify(body))
}

/** An error in the terms of WaTTS. */
interface WattsError {
  readonly status: number
  readonly message: string
}

/** Retry-After of a 503 whose error names no time. */
const RETRY_AFTER_SECONDS = 5

/** Sends an error with the status and text of WaTTS where it had one, never with its cause. */
export function sendWattsError(response: Response, error: TtsError): void {
  const { status, message } = wattsErrorOf(error)
  if (status === 401) response.setHeader('www-authenticate', 'authorization')
  if (status === 503)
    response.setHeader('Retry-After', String(error.retryAfterSeconds ?? RETRY_AFTER_SECONDS))
  sendJson(response, { result: 'error', user_msg: message }, { status })
}

const statuses = {
  invalid_request: 400,
  invalid_csr: 400,
  request_timeout: 408,
  payload_too_large: 413,
  expectation_failed: 417,
  unsupported_media_type: 415,
  not_acceptable: 406,
  method_not_allowed: 405,
  missing_token: 401,
  invalid_token: 401,
  insufficient_scope: 401,
  access_denied: 400,
  grant_refused: 403,
  delegation_ended: 410,
  not_found: 404,
  conflict: 409,
  limit_reached: 503,
  provider_unavailable: 503,
  plugin_failed: 400,
  store_unavailable: 503,
  overloaded: 503,
  shutting_down: 503,
  configuration: 500,
  internal: 500,
} as const satisfies Record<TtsErrorCode, number>

/** Returns status and text of an error on the paths of WaTTS. */
export function wattsErrorOf({ code, check, message }: TtsError): WattsError {
  const status = statuses[code]
  // An unknown service gets the same answer as a forbidden one, so that callers cannot find out which services exist.
  if (check === 'authorisation' || (code === 'not_found' && check === 'service'))
    return { status: 400, message: wattsMessages.notAllowed }
  if (code === 'limit_reached' && check === 'credential_limit') return { status: 400, message }
  if (code === 'plugin_failed' && check === 'revocation') return { status: 500, message }
  if (code === 'plugin_failed' && check === 'timeout') return { status: 504, message }
  if (code === 'missing_token') return { status, message: wattsMessages.notIdentified }
  if (status === 401) return { status, message: `${wattsMessages.invalidToken}: ${message}` }
  if (status === 500) return { status, message: wattsMessages.unknownError }
  return { status, message }
}

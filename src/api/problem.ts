/** The only place where an error becomes an HTTP answer: RFC 9457 problem details, with the challenge of RFC 6750. */
import type { Response } from 'express'
import { TtsError, type TtsErrorCode } from '../errors.ts'

interface ErrorAnswer {
  readonly status: number
  readonly title: string
  /**
   * `error` of the WWW-Authenticate challenge (RFC 6750 section 3.1); undefined for none, empty for a bare challenge
   * (section 3: also where a token is sound and does not enable access).
   */
  readonly challenge?: string
}

const answers = {
  invalid_request: { status: 400, title: 'The request is not understood' },
  invalid_csr: { status: 400, title: 'The certificate signing request is refused' },
  missing_token: { status: 401, title: 'An access token is wanted', challenge: '' },
  invalid_token: { status: 401, title: 'The access token is refused', challenge: 'invalid_token' },
  insufficient_scope: {
    status: 403,
    title: 'The access token lacks a scope',
    challenge: 'insufficient_scope',
  },
  access_denied: { status: 403, title: 'This is not allowed', challenge: '' },
  grant_refused: { status: 403, title: 'The identity provider refuses' },
  delegation_ended: { status: 410, title: 'The delegation has ended' },
  not_found: { status: 404, title: 'There is no such thing' },
  method_not_allowed: { status: 405, title: 'The method is not for this path' },
  not_acceptable: { status: 406, title: 'None of the formats asked for can be given' },
  conflict: { status: 409, title: 'The request conflicts with what is there' },
  request_timeout: { status: 408, title: 'The request did not arrive in time' },
  payload_too_large: { status: 413, title: 'The request is too large' },
  unsupported_media_type: { status: 415, title: 'The format of the request is not taken' },
  expectation_failed: { status: 417, title: 'The expectation cannot be met' },
  limit_reached: { status: 429, title: 'Too many requests' },
  configuration: { status: 500, title: 'The service failed' },
  internal: { status: 500, title: 'The service failed' },
  plugin_failed: { status: 502, title: 'The plugin of the service failed' },
  provider_unavailable: { status: 503, title: 'The identity provider cannot be reached' },
  store_unavailable: { status: 503, title: 'The records cannot be reached' },
  overloaded: { status: 503, title: 'The service is busy' },
  shutting_down: { status: 503, title: 'The service is stopping' },
} as const satisfies Record<TtsErrorCode, ErrorAnswer>

/** What is refused with 503 says when to come again, also when the cause did not tell. */
const RETRY_AFTER_SECONDS = 5

/** What went wrong as a TtsError: bodies that Express's readers refuse get their own code, all else is internal. */
export function toTtsError(error: unknown): TtsError {
  if (error instanceof TtsError) return error
  const type: unknown = error instanceof Error && 'type' in error ? error.type : undefined
  const status: unknown = error instanceof Error && 'status' in error ? error.status : undefined
  if (type === 'entity.too.large') return new TtsError('payload_too_large', 'the body is too large')
  if (type === 'encoding.unsupported')
    return new TtsError('unsupported_media_type', 'the content encoding is not taken')
  // URIError of a path that is not percent-encoded properly, an aborted or cut-off body.
  if (status === 400)
    return new TtsError('invalid_request', 'the request is malformed', { cause: error })
  return new TtsError('internal', 'something failed inside the service', { cause: error })
}

/** An error as those who are no program are told it. */
export function answerTo(error: TtsError): {
  readonly status: number
  readonly title: string
  /** Whether the message is for the log alone. */
  readonly isHidden: boolean
  readonly retryAfterSeconds: number | undefined
} {
  const { status, title } = answers[error.code]
  const retryAfterSeconds =
    error.retryAfterSeconds ?? (status === 503 ? RETRY_AFTER_SECONDS : undefined)
  return { status, title, isHidden: status === 500, retryAfterSeconds }
}

/** Writes an error as problem details. Nothing of its cause, and of internal errors nothing but that they happened. */
export function sendProblem(response: Response, error: TtsError, requestId: string): void {
  const { challenge: ofCode }: ErrorAnswer = answers[error.code]
  const { status, title, isHidden, retryAfterSeconds } = answerTo(error)
  // RFC 6750 section 3.1: a token sent in two ways, or in one that is not taken, is an invalid_request with a challenge.
  const badlySent = error.code === 'invalid_request' && error.check === 'authorization'
  const challengeCode = badlySent ? 'invalid_request' : ofCode
  if (challengeCode !== undefined)
    response.setHeader('WWW-Authenticate', challenge(challengeCode, error))
  if (retryAfterSeconds !== undefined) response.setHeader('Retry-After', String(retryAfterSeconds))
  response
    .status(status)
    .setHeader('Cache-Control', 'no-store')
    .type('application/problem+json')
    .send(
      JSON.stringify({
        type: `urn:tts:error:${error.code}`,
        title,
        status,
        detail: isHidden ? 'The failure is in the log under the request id.' : error.message,
        code: error.code,
        ...(error.check === undefined || isHidden ? {} : { check: error.check }),
        request_id: requestId,
      }),
    )
}

function challenge(code: string, error: TtsError): string {
  const parts = ['realm="tts"']
  if (code !== '') {
    parts.push(`error="${code}"`, `error_description="${quotable(error.message)}"`)
    if (error.scope !== undefined) parts.push(`scope="${quotable(error.scope)}"`)
  }
  return `Bearer ${parts.join(', ')}`
}

/** RFC 6750 section 3: error_description has no characters outside of %x20-21 / %x23-5B / %x5D-7E. */
function quotable(text: string): string {
  return text
    .replace(/["\\]/g, "'")
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, 300)
}

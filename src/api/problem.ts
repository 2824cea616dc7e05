/**
 * Turns errors into HTTP answers, and is the only module that does: RFC 9457 problem details, with the challenge of
 * RFC 6750 and RFC 9728.
 */
import type { Response } from 'express'
import { TtsError } from '../base/errors.ts'
import { errorCodes, problemsUrl } from './error-codes.ts'
import type { Answer } from './openapi/answers.ts'
import { resourceMetadataUrl } from './resource-metadata.ts'

/** Retry-After of a 503 whose error names no time. */
const RETRY_AFTER_SECONDS = 5

/**
 * Converts any error to a TtsError. Errors of Express about the request get their own code; all others are internal.
 */
export function toTtsError(error: unknown): TtsError {
  if (error instanceof TtsError) return error
  const type: unknown = error instanceof Error && 'type' in error ? error.type : undefined
  const status: unknown = error instanceof Error && 'status' in error ? error.status : undefined
  if (type === 'entity.too.large') return new TtsError('payload_too_large', 'the body is too large')
  if (type === 'encoding.unsupported')
    return new TtsError('unsupported_media_type', 'the content encoding is not supported')
  // A path with invalid percent-encoding (URIError), or a body that was cut off.
  if (status === 400)
    return new TtsError('invalid_request', 'the request is malformed', { cause: error })
  return new TtsError('internal', 'something failed inside the service', { cause: error })
}

/** Returns what an answer may show of an error. */
export function answerTo(error: TtsError): {
  readonly status: number
  readonly title: string
  /** Whether the message may appear in the log only. */
  readonly isHidden: boolean
  readonly retryAfterSeconds: number | undefined
} {
  const { status, title } = errorCodes[error.code]
  const retryAfterSeconds =
    error.retryAfterSeconds ?? (status === 503 ? RETRY_AFTER_SECONDS : undefined)
  return { status, title, isHidden: status === 500, retryAfterSeconds }
}

/**
 * Sends an error as problem details, never with its cause. An internal error shows neither its message nor its check.
 */
export function sendProblem(
  response: Response,
  error: TtsError,
  { requestId, publicUrl }: { readonly requestId: string; readonly publicUrl: string | undefined },
): void {
  const { challenge: ownChallenge } = errorCodes[error.code]
  const { status, title, isHidden, retryAfterSeconds } = answerTo(error)
  // RFC 6750 section 3.1: a token sent twice, or by an unsupported method, is an invalid_request with a challenge.
  const isTokenMisplaced = error.code === 'invalid_request' && error.check === 'authorization'
  const challengeCode = isTokenMisplaced ? 'invalid_request' : ownChallenge
  if (challengeCode !== undefined)
    response.setHeader('WWW-Authenticate', challenge(challengeCode, error, publicUrl))
  if (retryAfterSeconds !== undefined) response.setHeader('Retry-After', String(retryAfterSeconds))
  response
    .status(status)
    .setHeader('Cache-Control', 'no-store')
    .type('application/problem+json')
    .send(
      JSON.stringify({
        type: `${problemsUrl(publicUrl)}/${error.code}`,
        title,
        status,
        detail: isHidden
          ? 'The service failed. Its log has the cause under the request id.'
          : error.message,
        code: error.code,
        ...(error.check === undefined || isHidden ? {} : { check: error.check }),
        ...(error.audiences === undefined ? {} : { accepted_audiences: [...error.audiences] }),
        request_id: requestId,
      } satisfies Answer<'Problem'>),
    )
}

function challenge(code: string, error: TtsError, publicUrl: string | undefined): string {
  const parts = ['realm="tts"']
  if (code !== '') {
    parts.push(`error="${code}"`, `error_description="${escapeQuoted(error.message)}"`)
    if (error.scope !== undefined) parts.push(`scope="${escapeQuoted(error.scope)}"`)
  }
  // RFC 9728 section 5.1: from there the client learns which providers and audiences are accepted.
  if (publicUrl !== undefined)
    parts.push(`resource_metadata="${escapeQuoted(resourceMetadataUrl(publicUrl))}"`)
  return `Bearer ${parts.join(', ')}`
}

/**
 * Returns a text as `error_description`, which must not contain characters outside %x20-21 / %x23-5B / %x5D-7E.
 *
 * @see RFC 6749 section 5.2, RFC 6750 section 3
 */
export function escapeQuoted(text: string): string {
  return text
    .replace(/["\\]/g, "'")
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, 300)
}

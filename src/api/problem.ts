/** The only place where an error becomes an HTTP answer: RFC 9457 problem details, with the challenge of RFC 6750. */
import type { Response } from 'express'
import { TtsError } from '../base/errors.ts'
import { errorCodes, problemsUrl } from './error-codes.ts'

/** What is refused with 503 says when to come again, also when the cause did not tell. */
const RETRY_AFTER_SECONDS = 5

/** What went wrong as a TtsError: bodies that Express's readers refuse get their own code, all else is internal. */
export function toTtsError(error: unknown): TtsError {
  if (error instanceof TtsError) return error
  const type: unknown = error instanceof Error && 'type' in error ? error.type : undefined
  const status: unknown = error instanceof Error && 'status' in error ? error.status : undefined
  if (type === 'entity.too.large') return new TtsError('payload_too_large', 'the body is too large')
  if (type === 'encoding.unsupported')
    return new TtsError('unsupported_media_type', 'the content encoding is not supported')
  // URIError of a path that is not percent-encoded properly, an aborted or cut-off body.
  if (status === 400)
    return new TtsError('invalid_request', 'the request is malformed', { cause: error })
  return new TtsError('internal', 'something failed inside the service', { cause: error })
}

/** An error as shown to people. */
export function answerTo(error: TtsError): {
  readonly status: number
  readonly title: string
  /** Whether the message is for the log alone. */
  readonly isHidden: boolean
  readonly retryAfterSeconds: number | undefined
} {
  const { status, title } = errorCodes[error.code]
  const retryAfterSeconds =
    error.retryAfterSeconds ?? (status === 503 ? RETRY_AFTER_SECONDS : undefined)
  return { status, title, isHidden: status === 500, retryAfterSeconds }
}

/** Writes an error as problem details. Nothing of its cause, and of internal errors nothing but that they happened. */
export function sendProblem(
  response: Response,
  error: TtsError,
  { requestId, publicUrl }: { readonly requestId: string; readonly publicUrl: string | undefined },
): void {
  const { challenge: ofCode } = errorCodes[error.code]
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
        type: `${problemsUrl(publicUrl)}/${error.code}`,
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

import { readJson } from '../../plugins/json.ts'
import { ClientError, ResponseBodyError } from 'openid-client'
import type { Fetch } from '../tokens/limited-fetch.ts'
import type { ErrorAnswer } from './refusal-types.ts'

/**
 * Wraps a `fetch` so that openid-client checks only the members of an answer that we use. A successful answer to a
 * refresh may hold the only copy of a new refresh token, so it must not be rejected because of an unused ID token, a
 * wrong clock or a null. The header WWW-Authenticate is removed because with it openid-client would not read the
 * reason in the body of an error.
 */
export function lenientFetch(fetchFunction: Fetch, deadline: AbortSignal): Fetch {
  return async (url, options = {}) => {
    const signals = options.signal ? [options.signal, deadline] : [deadline]
    const response = await fetchFunction(url, { ...options, signal: AbortSignal.any(signals) })
    const headers = new Headers(response.headers)
    headers.delete('www-authenticate')
    const { status } = response
    const text = await response.text()
    const body = status === 200 ? keepUsedMembers(text, headers) : text
    return new Response(body === '' ? null : body, { status, headers })
  }
}

function keepUsedMembers(text: string, headers: Headers): string {
  const json = parsed(text)
  if (json === undefined) return text
  const { id_token: _idToken, ...rest } = json
  const known = Object.entries(rest).filter(([, value]) => value !== null)
  const answer = Object.fromEntries(known)
  if (typeof answer['expires_in'] === 'string') answer['expires_in'] = Number(answer['expires_in'])
  const expiresIn = answer['expires_in']
  if (typeof expiresIn !== 'number' || !(expiresIn >= 0)) delete answer['expires_in']
  if (typeof answer['scope'] !== 'string') delete answer['scope']
  headers.set('content-type', 'application/json')
  return JSON.stringify(answer)
}

function parsed(text: string): Record<string, unknown> | undefined {
  const read = readJson(text)
  const value = 'value' in read ? read.value : undefined
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isObject ? (value as Record<string, unknown>) : undefined
}

/** Returns the provider's error answer from an error of openid-client; undefined when there was no answer. */
export function answerOf(error: unknown): ErrorAnswer | undefined {
  if (error instanceof ResponseBodyError) {
    return {
      status: error.status,
      error: error.error,
      description: error.error_description ?? '',
      retryAfterSeconds: retryAfter(error.response),
    }
  }
  const response = error instanceof ClientError ? error.cause : undefined
  if (!(response instanceof Response) || response.status < 400) return undefined
  return {
    status: response.status,
    error: undefined,
    description: '',
    retryAfterSeconds: retryAfter(response),
  }
}

const LONGEST_WAIT_SECONDS = 3600

/** Reads Retry-After in seconds (RFC 9110 section 10.2.3). A date is ignored, because clocks differ. */
function retryAfter(response: Response): number | undefined {
  const text = response.headers.get('retry-after')?.trim() ?? ''
  if (!/^\d{1,9}$/.test(text)) return undefined
  return Math.min(Math.max(1, Number(text)), LONGEST_WAIT_SECONDS)
}

/** One HTTP request to the service: with a deadline, a bounded answer, and the server's certificate always checked. */
import { readJson } from '../../plugins/json.ts'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { TtsError, type TtsErrorCode } from '../base/errors.ts'

export interface ClientRequest {
  readonly url: URL
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** PEM of CAs that are trusted for the server, in place of the system's. */
  readonly certificateAuthorities: string | undefined
  readonly timeoutMs: number
  /** Ends the request before its time. */
  readonly signal?: AbortSignal
}

export interface ClientResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

const MAX_RESPONSE_BYTES = 1024 * 1024

/**
 * A token goes over TLS, or does not leave this machine.
 *
 * @throws {TtsError} `invalid_request`
 */
export function requireSafeToken(url: URL): void {
  if (url.protocol === 'https:' || ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname))
    return
  throw new TtsError(
    'invalid_request',
    `${url.origin} is plain http: the token would cross the network in clear; use https`,
  )
}

/** @throws {TtsError} `provider_unavailable` when the service cannot be reached in time */
export async function send(wanted: ClientRequest): Promise<ClientResponse> {
  const { url, method, headers, body, certificateAuthorities, timeoutMs, signal } = wanted
  requireSafeToken(url)
  const secure = url.protocol === 'https:'
  const options = {
    method,
    headers:
      body === undefined
        ? headers
        : { ...headers, 'content-length': String(Buffer.byteLength(body)) },
    signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]),
    ...(secure && certificateAuthorities !== undefined ? { ca: certificateAuthorities } : {}),
  }
  return new Promise((resolve, reject) => {
    const fail = (cause: Error): void => reject(unreachable(url, cause))
    const request = (secure ? httpsRequest : httpRequest)(url, options, (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > MAX_RESPONSE_BYTES) response.destroy(new Error('the answer is too long'))
        else chunks.push(chunk)
      })
      response.on('error', fail)
      response.on('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString('utf8'),
        })
      })
    })
    request.on('error', fail)
    request.end(body)
  })
}

const untrusted = 'its certificate is not from a CA that is trusted here'

/** What codes of connections and of TLS mean. */
const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'it closed the connection',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  TimeoutError: 'it did not answer in time',
  ABORT_ERR: 'it did not answer in time',
  EPROTO: 'it does not speak TLS there',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS there',
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
}

function unreachable(url: URL, cause: Error): TtsError {
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.name
  const why = reasons[code] ?? code
  return new TtsError('provider_unavailable', `the service ${url.origin} cannot be used: ${why}`, {
    cause,
    remedy:
      why === untrusted
        ? 'Name the CA of the server with --cacert FILE.'
        : 'Check --url (or TTS_URL), and that `tts serve` runs there.',
  })
}

/** The service's refusal as the error that it was there. */
export function serviceRefusal(response: ClientResponse): TtsError {
  const problem = readProblem(response.body)
  const code = typeof problem['code'] === 'string' ? problem['code'] : ''
  const detail =
    typeof problem['detail'] === 'string' ? problem['detail'] : `HTTP status ${response.status}`
  const id = typeof problem['request_id'] === 'string' ? ` (request ${problem['request_id']})` : ''
  const remedy = remedyFor(response)
  const message = `the service refused: ${detail}${id}`.replace(/[^\P{Cc}\n]/gu, '?')
  const retryAfterSeconds = retryAfterOf(response)
  return new TtsError(codeFor(code, response.status), message, {
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    ...(typeof problem['check'] === 'string' ? { check: problem['check'] } : {}),
    ...(remedy === undefined ? {} : { remedy }),
  })
}

/** Seconds only: ours sends no date (RFC 9110 section 10.2.3). */
function retryAfterOf({ headers }: ClientResponse): number | undefined {
  const after = headers['retry-after']
  return typeof after === 'string' && /^\d{1,6}$/.test(after) ? Number(after) : undefined
}

function remedyFor(response: ClientResponse): string | undefined {
  const { status } = response
  if (status === 401)
    return 'get a new token that is meant for this service; its operator sees more with `tts check --token`'
  if (status === 403)
    return "ask the service's operator, whom `tts check --token` tells which rule it was"
  if (status < 500 && status !== 429) return undefined
  const seconds = retryAfterOf(response)
  return seconds !== undefined
    ? `try again in ${seconds} seconds`
    : 'try again later; the operator finds the request in the log'
}

function readProblem(body: string): Record<string, unknown> {
  const read = readJson(body)
  const value = 'value' in read ? read.value : undefined
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function codeFor(code: string, status: number): TtsErrorCode {
  const byStatus: readonly (readonly [number, TtsErrorCode])[] = [
    [400, 'invalid_request'],
    [401, 'invalid_token'],
    [403, 'access_denied'],
    [404, 'not_found'],
    [429, 'limit_reached'],
    // Of a proxy in front, when the service does not answer it.
    [502, 'overloaded'],
    [503, 'overloaded'],
    [504, 'overloaded'],
  ]
  if (code === 'invalid_csr' || code === 'grant_refused' || code === 'delegation_ended') return code
  return byStatus.find(([known]) => known === status)?.[1] ?? 'internal'
}

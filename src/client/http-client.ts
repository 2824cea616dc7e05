/**
 * Sends HTTP requests to the service, with a deadline and a size limit for the answer. It always verifies the server
 * certificate.
 */
import { readJson } from '../../plugins/json.ts'
import { urlToHttpOptions } from 'node:url'
import { TtsError, type TtsErrorCode } from '../base/errors.ts'
import { findProxyFailure } from '../network/network.ts'
import { foreignAnswer, tryAgain } from './foreign-answer.ts'
import { type HttpResponse, sendHttp } from './http-request.ts'

export interface ClientRequest {
  readonly url: URL
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** CA certificates in PEM that replace all other trusted ones. */
  readonly certificateAuthorities: string | undefined
  readonly timeoutMs: number
  /** Aborts the request before the deadline. */
  readonly signal?: AbortSignal
  /** Prints a line about the request or its answer (`--verbose`). It never holds a token. */
  readonly trace?: ((line: string) => void) | undefined
}

/**
 * Checks that a token is sent over TLS or only to a loopback address.
 *
 * @throws {TtsError} `invalid_request`
 */
export function requireSafeToken(url: URL): void {
  if (url.protocol === 'https:' || ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname))
    return
  throw new TtsError(
    'invalid_request',
    `${url.origin} is plain http, so the token would cross the network unencrypted: use https`,
  )
}

/** Sends a request. @throws {TtsError} `provider_unavailable` (the service cannot be reached in time) */
export async function send(clientRequest: ClientRequest): Promise<HttpResponse> {
  const { url, method, headers, body, certificateAuthorities, timeoutMs, signal } = clientRequest
  requireSafeToken(url)
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  const options = {
    ...urlToHttpOptions(url),
    secure: url.protocol === 'https:',
    method,
    headers: { ...headers, ...length },
    signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]),
    ...(certificateAuthorities === undefined ? {} : { ca: certificateAuthorities }),
  }
  return traced(clientRequest, async () => sendHttp(options, body)).catch((error: unknown) => {
    throw unreachable(url, error as Error)
  })
}

/** Reports method, URL, status, size and time. The URL is safe: it never holds a token. */
async function traced(
  { url, method, trace }: ClientRequest,
  work: () => Promise<HttpResponse>,
): Promise<HttpResponse> {
  if (trace === undefined) return work()
  trace(`> ${method} ${url.origin}${url.pathname}${url.search}`)
  const startedAt = performance.now()
  const elapsed = (): string => `${Math.round(performance.now() - startedAt)} ms`
  try {
    const { status, headers, body } = await work()
    const type = headers['content-type']
    const kind =
      typeof type === 'string' ? `${type.replace(/[^\x20-\x7e]/g, '?').slice(0, 80)}, ` : ''
    trace(`< ${status} after ${elapsed()} (${kind}${Buffer.byteLength(body)} bytes)`)
    return { status, headers, body }
  } catch (error) {
    trace(`< no answer after ${elapsed()}`)
    throw error
  }
}

/**
 * Returns the body of an answer with a certificate chain in PEM.
 *
 * @throws {TtsError} the refusal; `internal`, check `foreign_answer` (another program answered)
 */
export function pemOf(response: HttpResponse): string {
  if (response.status !== 200) throw serviceRefusal(response)
  const type = response.headers['content-type']
  const isPem = typeof type === 'string' && type.startsWith('application/x-pem-file')
  if (!isPem) throw foreignAnswer(response)
  return response.body
}

const untrusted = 'its certificate is not from a trusted CA'

/** Messages for error codes of connections and TLS. */
const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'it refuses connections',
  ECONNRESET: 'it closed the connection',
  ENOTFOUND: 'the host does not exist',
  EAI_AGAIN: 'the host name cannot be resolved at the moment',
  TimeoutError: 'it did not answer in time',
  ABORT_ERR: 'it did not answer in time',
  ECONNABORTED: 'it closed the connection',
  EPIPE: 'it closed the connection',
  ETIMEDOUT: 'it did not answer in time',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'this machine has no network to it',
  EADDRNOTAVAIL: 'this machine has no free port or address for the connection',
  EMFILE: 'this process has too many open files',
  EACCES: 'permission denied',
  EPROTO: 'it does not use TLS on this port',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not use TLS on this port',
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
}

const CLOCK_REMEDY =
  'Check the clock of this machine (timedatectl). If it is right, the operator must renew the certificate of the server.'

/** Remedies for error codes; the others are about the address. */
const remedies: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: CLOCK_REMEDY,
  CERT_NOT_YET_VALID: CLOCK_REMEDY,
  ERR_TLS_CERT_ALTNAME_INVALID:
    'Use the host name for which the certificate is, or ask the operator for a certificate with this one.',
}

/** Returns why there is no answer, in words that complete a sentence about the server. */
export function connectionReason(cause: Error): string {
  const code = connectionCode(cause)
  // Codes of Node's HTTP parser.
  if (code.startsWith('HPE_')) return 'it does not speak HTTP on this port'
  return reasons[code] ?? (code === 'Error' ? cause.message : code)
}

const connectionCode = (cause: Error): string =>
  'code' in cause && typeof cause.code === 'string' ? cause.code : cause.name

function unreachable(url: URL, cause: Error): TtsError {
  const code = connectionCode(cause)
  const proxyFailure = findProxyFailure(url, cause)
  const why = proxyFailure?.reason ?? connectionReason(cause)
  return new TtsError(
    'provider_unavailable',
    `the service ${url.origin} is not available: ${why}`,
    {
      cause,
      remedy:
        proxyFailure?.remedy ??
        remedies[code] ??
        (why === untrusted
          ? 'Give the CA certificate of the server with --cacert FILE, or set SSL_CERT_FILE or X509_CERT_DIR.'
          : 'Check --url (or TTS_URL), and that `tts serve` is running there.'),
    },
  )
}

/** Converts a refusal of the service to a TtsError. */
export function serviceRefusal(response: HttpResponse): TtsError {
  const problem = readProblem(response.body)
  const code = typeof problem['code'] === 'string' ? problem['code'] : ''
  const retryAfterSeconds = retryAfterOf(response)
  // Every refusal of the service has a code.
  if (code === '') return foreignAnswer(response, retryAfterSeconds)
  const detail =
    typeof problem['detail'] === 'string' ? problem['detail'] : `HTTP status ${response.status}`
  const id = typeof problem['request_id'] === 'string' ? ` (request ${problem['request_id']})` : ''
  const remedy = remedyFor(response, problem)
  const message = `the service refused: ${detail}${id}`.replace(/[^\P{Cc}\n]/gu, '?')
  return new TtsError(codeFor(code, response.status), message, {
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    ...(typeof problem['check'] === 'string' ? { check: problem['check'] } : {}),
    ...(remedy === undefined ? {} : { remedy }),
  })
}

/** Accepts only seconds, because the service sends no dates (RFC 9110 section 10.2.3). */
function retryAfterOf({ headers }: HttpResponse): number | undefined {
  const after = headers['retry-after']
  return typeof after === 'string' && /^\d{1,6}$/.test(after) ? Number(after) : undefined
}

/** Remedies of refusals by the identity provider (`grant_refused`), by check. */
const grantRemedies: ReadonlyMap<unknown, string> = new Map([
  [
    'user_disabled',
    'Ask the administrators of the identity provider about your account. Renewal continues by itself when they restore it.',
  ],
  [
    'aup_not_signed',
    'Sign the acceptable use policy at the identity provider. Renewal then continues by itself.',
  ],
])

function remedyFor(
  response: HttpResponse,
  problem: Readonly<Record<string, unknown>>,
): string | undefined {
  const { status } = response
  if (problem['code'] === 'grant_refused')
    return (
      grantRemedies.get(problem['check']) ??
      'Ask the operator of the service, who can find what to do in the log under this request.'
    )
  // The sizes of token and headers.
  if (problem['check'] === 'size' || status === 431)
    return 'Request a token with fewer claims (scopes, groups), or ask the operator of the service to raise limits.token_bytes.'
  if (status === 401)
    return 'Get a new token for this service. Its operator can examine the token with `tts check --token`.'
  if (status === 403)
    return 'Ask the operator of the service, who can find the deciding rule with `tts check --token`.'
  if (status < 500 && status !== 429) return undefined
  const seconds = retryAfterOf(response)
  return seconds !== undefined
    ? tryAgain(seconds)
    : 'Try again later. The operator can find the request in the log.'
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
    [502, 'overloaded'],
    [503, 'overloaded'],
    [504, 'overloaded'],
  ]
  if (code === 'invalid_csr' || code === 'grant_refused' || code === 'delegation_ended') return code
  return byStatus.find(([known]) => known === status)?.[1] ?? 'internal'
}

/** One HTTP request of the command line: with a deadline, a bounded answer, and the server's certificate always checked. */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { TtsError, type TtsErrorCode } from '../errors.ts'

export interface ClientRequest {
  readonly url: URL
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** PEM of CAs that are trusted for the server, in place of the system's. */
  readonly certificateAuthorities: string | undefined
  readonly timeoutMs: number
}

export interface ClientResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

const MAX_RESPONSE_BYTES = 1024 * 1024

/** @throws {TtsError} `provider_unavailable` when the service cannot be reached in time */
export async function send(wanted: ClientRequest): Promise<ClientResponse> {
  const { url, method, headers, body, certificateAuthorities, timeoutMs } = wanted
  const secure = url.protocol === 'https:'
  if (!secure && !['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname)) {
    throw new TtsError(
      'invalid_request',
      `${url.origin} is plain http: the token would cross the network in clear; use https`,
    )
  }
  const options = {
    method,
    headers:
      body === undefined
        ? headers
        : { ...headers, 'content-length': String(Buffer.byteLength(body)) },
    signal: AbortSignal.timeout(timeoutMs),
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

function unreachable(url: URL, cause: Error): TtsError {
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.name
  const why =
    {
      ECONNREFUSED: 'nothing listens there',
      ENOTFOUND: 'there is no such host',
      TimeoutError: 'it did not answer in time',
      ABORT_ERR: 'it did not answer in time',
      SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is not from a CA that is trusted here',
      DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is not from a CA that is trusted here',
      UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is not from a CA that is trusted here',
    }[code] ?? code
  return new TtsError('provider_unavailable', `the service ${url.origin} cannot be used: ${why}`, {
    cause,
    remedy: why.includes('trusted')
      ? 'name the CA of the server with --cacert FILE'
      : 'check --url (or TTS_URL), and that `tts serve` runs there',
  })
}

/** The service's refusal as the error that it was there. */
export function refusalOf(response: ClientResponse): TtsError {
  const problem = readProblem(response.body)
  const code = typeof problem['code'] === 'string' ? problem['code'] : ''
  const detail =
    typeof problem['detail'] === 'string' ? problem['detail'] : `HTTP status ${response.status}`
  const id = typeof problem['request_id'] === 'string' ? ` (request ${problem['request_id']})` : ''
  const about = typeof problem['check'] === 'string' ? { check: problem['check'] } : {}
  return new TtsError(codeFor(code, response.status), `the service refused: ${detail}${id}`, about)
}

function readProblem(body: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(body)
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

function codeFor(code: string, status: number): TtsErrorCode {
  const byStatus: readonly (readonly [number, TtsErrorCode])[] = [
    [400, 'invalid_request'],
    [401, 'invalid_token'],
    [403, 'access_denied'],
    [404, 'not_found'],
    [429, 'limit_reached'],
    [503, 'overloaded'],
  ]
  if (code === 'invalid_csr') return code
  return byStatus.find(([known]) => known === status)?.[1] ?? 'internal'
}

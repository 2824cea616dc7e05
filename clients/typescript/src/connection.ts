/** Sends requests to the service and reads its answers. */
import type { Problem } from './api-types.ts'
import { TtsClientError, TtsForeignAnswer, TtsProblem, TtsUnreachable } from './errors.ts'
import { realWaiting, type Waiting, withRetry } from './retry.ts'

/** How to reach the service. */
export interface ClientOptions {
  /** Address of the service; https, or http for this machine only. */
  readonly url: string
  /** Access token, or a function that returns one that is still valid. */
  readonly token?: string | (() => string | Promise<string>)
  /** Time limit for a call with all its attempts, in seconds; default 600. 0: one attempt. */
  readonly deadlineSeconds?: number
  /** Time limit for one attempt, in seconds; default 60, because a renewal takes as long as the identity provider. */
  readonly timeoutSeconds?: number
  /** Default: the global `fetch`. To trust further CAs, set NODE_EXTRA_CA_CERTS. */
  readonly fetch?: typeof fetch
  /** For tests. */
  readonly waiting?: Waiting
}

/** A request. */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Below the address of the service, without a slash at its start. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Instead of the token: the renewal secret of a delegation. */
  readonly secret?: string | undefined
  readonly isRepeatable: boolean
}

/** A good answer. */
export interface ApiAnswer {
  readonly headers: Headers
  readonly body: string
}

const DEADLINE_SECONDS = 600
const TIMEOUT_SECONDS = 60
/** A page of 1000 entries, with long names, has two. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024

/** Returns a function that sends a request, tries again while that can help, and throws the errors of `errors.ts`. */
export function connect(options: ClientOptions): (request: ApiRequest) => Promise<ApiAnswer> {
  const base = baseUrl(options.url)
  const { deadlineSeconds = DEADLINE_SECONDS, waiting = realWaiting } = options
  return async (request) => {
    const { isRepeatable } = request
    return withRetry(
      async (leftMs) => attempt({ base, options, request, leftMs }),
      { deadlineSeconds, isRepeatable },
      waiting,
    )
  }
}

function baseUrl(url: string): URL {
  if (!URL.canParse(url)) throw new TtsClientError('url must be an http or https URL')
  const base = new URL(url.endsWith('/') ? url : `${url}/`)
  const isLoopback = ['127.0.0.1', 'localhost', '[::1]'].includes(base.hostname)
  if (base.protocol !== 'https:' && !(base.protocol === 'http:' && isLoopback))
    throw new TtsClientError(
      `${base.origin} is not https, so the token would cross the network unencrypted`,
    )
  if (base.username + base.password + base.search + base.hash !== '')
    throw new TtsClientError('url must have no user, password, query or fragment')
  return base
}

interface Attempt {
  readonly base: URL
  readonly options: ClientOptions
  readonly request: ApiRequest
  readonly leftMs: number
}

async function attempt({ base, options, request, leftMs }: Attempt): Promise<ApiAnswer> {
  const { timeoutSeconds = TIMEOUT_SECONDS, deadlineSeconds = DEADLINE_SECONDS } = options
  const { method, path, query = {}, headers = {}, body, secret } = request
  const url = new URL(path, base)
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) url.searchParams.set(name, value)
  const authorization = `Bearer ${await bearerOf(options, secret)}`
  const timeoutMs = Math.min(timeoutSeconds * 1000, deadlineSeconds === 0 ? Infinity : leftMs)
  try {
    const response = await (options.fetch ?? fetch)(url, {
      method,
      headers: { ...headers, authorization },
      // A token is never sent to where a redirect leads.
      redirect: 'manual',
      signal: AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs))),
      ...(body === undefined ? {} : { body }),
    })
    return await readAnswer(response)
  } catch (error) {
    throw error instanceof TtsClientError ? error : connectionFault(base, error)
  }
}

/** The codes of Node for a certificate that it does not trust: another attempt does not help. */
const UNTRUSTED = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_CERT_|HOSTNAME_MISMATCH)/

function connectionFault({ origin }: URL, cause: unknown): TtsClientError {
  const inner: unknown = cause instanceof Error ? cause.cause : undefined
  const code = inner instanceof Error && 'code' in inner ? String(inner.code) : ''
  if (UNTRUSTED.test(code))
    return new TtsClientError(
      `the certificate of ${origin} is not trusted (${code}); NODE_EXTRA_CA_CERTS adds a CA`,
      { cause },
    )
  const reason = code === '' ? '' : ` (${code})`
  return new TtsUnreachable(`${origin} cannot be reached, or did not answer in time${reason}`, {
    cause,
  })
}

/** The renewal secret, or the access token. Errors must not quote it, as those of `fetch` do. */
async function bearerOf({ token }: ClientOptions, secret: string | undefined): Promise<string> {
  const given = secret ?? (typeof token === 'function' ? await token() : token)
  const what = secret === undefined ? 'access token' : 'renewal secret'
  const text = given?.trim()
  if (!text) throw new TtsClientError(`the ${what} is missing`)
  if (!/^[\x21-\x7e]+$/.test(text))
    throw new TtsClientError(`the ${what} has characters that none has, such as a line break`)
  return text
}

async function readAnswer(response: Response): Promise<ApiAnswer> {
  const body = await readBody(response)
  if (response.ok) return { headers: response.headers, body }
  const after = response.headers.get('retry-after') ?? ''
  const retryAfterSeconds = /^\d{1,6}$/.test(after) ? Number(after) : undefined
  const problem = problemOf(response, body)
  throw problem === undefined
    ? new TtsForeignAnswer(response.status, retryAfterSeconds)
    : new TtsProblem(problem, retryAfterSeconds)
}

async function readBody({ body }: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of body ?? []) {
    bytes += part.length
    if (bytes > MAX_ANSWER_BYTES) throw new TtsClientError('the answer is too long')
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

function problemOf({ headers, status }: Response, body: string): Problem | undefined {
  if (headers.get('content-type')?.startsWith('application/problem+json') !== true) return undefined
  const problem = parseJson(body) as Partial<Problem> | null | undefined
  const isOurs = typeof problem?.code === 'string' && typeof problem.detail === 'string'
  // What is tried again depends on the status, which a gateway may have changed.
  return isOurs ? { ...(problem as Problem), status } : undefined
}

/** Returns the value of a JSON text; undefined for any other text. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

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
const MAX_ANSWER_BYTES = 1024 * 1024

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
  const authorization = `Bearer ${secret ?? (await tokenOf(options))}`
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
    if (error instanceof TtsClientError) throw error
    throw new TtsUnreachable(`${base.origin} cannot be reached, or did not answer in time`, {
      cause: error,
    })
  }
}

async function tokenOf({ token }: ClientOptions): Promise<string> {
  const value = typeof token === 'function' ? await token() : token
  if (value === undefined || value === '') throw new TtsClientError('an access token is needed')
  return value.trim()
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

function problemOf({ headers }: Response, body: string): Problem | undefined {
  if (headers.get('content-type')?.startsWith('application/problem+json') !== true) return undefined
  const problem = parseJson(body) as Partial<Problem> | undefined
  const isOurs = typeof problem?.code === 'string' && typeof problem.detail === 'string'
  return isOurs ? (problem as Problem) : undefined
}

/** Returns the value of a JSON text; undefined for any other text. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

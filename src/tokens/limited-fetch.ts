import { isShallowJson } from '../../plugins/json.ts'
import { spanHeaders, withSpan } from '../base/spans.ts'
import { isAcceptableUrl } from '../config/provider-schema.ts'
import { findProxyFailure } from '../network/network.ts'
import { providerFault } from './refusals.ts'

/** The type of `fetch` that our libraries call. */
export type Fetch = (url: string, options?: RequestInit) => Promise<Response>

/** Limits of one request to a provider. */
export interface FetchLimits {
  readonly timeoutMs: number
  readonly maxBodyBytes: number
  /**
   * Whether to repeat a request once if its connection broke. Default true; must be false for requests that must not
   * be repeated.
   */
  readonly sendAgain?: boolean
}

/** A limited `fetch`. */
export interface LimitedFetch {
  readonly fetch: Fetch
  /** Aborts every request, also those that begin later. */
  close(): void
}

/**
 * Creates a `fetch` for providers: only https (or this machine), no redirects, a deadline for head and body, and a
 * maximum size. A request is repeated once if the provider closed the connection just when we used it, unless
 * `sendAgain` is false.
 */
export function createLimitedFetch(fetchFunction: Fetch, limits: FetchLimits): LimitedFetch {
  const { sendAgain = true } = limits
  const open = new Set<AbortController>()
  let isClosed = false

  async function limitedFetch(url: string, options: RequestInit = {}): Promise<Response> {
    const [bare = ''] = url.split('?')
    if (!isAcceptableUrl(bare)) throw providerFault('it names an endpoint that is not https')
    const controller = new AbortController()
    const { signal } = controller
    const expire = (): void =>
      controller.abort(new DOMException('the deadline has passed', 'TimeoutError'))
    const timer = setTimeout(expire, limits.timeoutMs)
    options.signal?.addEventListener('abort', expire, { once: true, signal })
    if (options.signal?.aborted === true) expire()
    if (isClosed) controller.abort()
    open.add(controller)
    const attempt = async (): Promise<Response> =>
      fetchFunction(url, { ...options, ...traced(options), redirect: 'manual', signal })
    try {
      return await withSpan('ask the provider', async () => {
        const response = await attempt().catch((error: unknown) => {
          if (!sendAgain || signal.aborted || !(error instanceof TypeError)) throw error
          return attempt()
        })
        return readLimited(response, limits.maxBodyBytes)
      })
    } catch (error) {
      throw proxyFault(url, error) ?? error
    } finally {
      clearTimeout(timer)
      open.delete(controller)
    }
  }

  return {
    fetch: limitedFetch,
    close: () => {
      isClosed = true
      for (const controller of open) controller.abort()
    },
  }
}

/** The headers of a request with those of the present trace. */
function traced({ headers }: RequestInit): Pick<RequestInit, 'headers'> {
  const own = Object.entries(spanHeaders())
  if (own.length === 0) return {}
  const all = new Headers(headers)
  for (const [name, value] of own) all.set(name, value)
  return { headers: all }
}

/** Returns the error for a request that the HTTP proxy did not forward; undefined if the error has another cause. */
function proxyFault(url: string, error: unknown): Error | undefined {
  const failure = findProxyFailure(url, error)
  if (failure === undefined) return undefined
  // The code tells callers that nothing reached the provider.
  const fault = providerFault(`${failure.reason}. ${failure.remedy.replace(/\.$/, '')}`)
  return Object.assign(fault, { code: 'EHOSTUNREACH' })
}

async function readLimited(response: Response, maxBodyBytes: number): Promise<Response> {
  const chunks: Uint8Array[] = []
  let length = 0
  const body = response.body as AsyncIterable<Uint8Array> | null
  for await (const chunk of body ?? []) {
    length += chunk.length
    if (length > maxBodyBytes) throw providerFault('its answer is too large')
    chunks.push(chunk)
  }
  const bytes = Buffer.concat(chunks)
  if (!isShallowJson(bytes.toString('latin1')))
    throw providerFault('its answer is nested too deeply')
  const headers = new Headers(response.headers)
  headers.delete('content-encoding')
  headers.delete('content-length')
  const { status } = response
  const empty = status === 204 || status === 205 || status === 304
  return new Response(empty ? null : bytes, { status, headers })
}

import { isShallowJson } from '../../plugins/json.ts'
import { isAcceptableUrl } from '../config/provider-schema.ts'
import { providerFault } from './refusals.ts'

/** `fetch` as our libraries call it. */
export type Fetch = (url: string, options?: RequestInit) => Promise<Response>

/** Bounds of one request to a provider. */
export interface FetchLimits {
  readonly timeoutMs: number
  readonly maxBodyBytes: number
  /** Whether a request whose connection broke is sent once more. Default true; not for what must happen once. */
  readonly sendAgain?: boolean
}

/** A bounded `fetch`, and the end of it. */
export interface LimitedFetch {
  readonly fetch: Fetch
  /** Ends every request under way. */
  close(): void
}

/**
 * A `fetch` for providers: https or this machine only, no redirects, a deadline over head and body, a bound on the body.
 * A connection that the provider closed just as we wrote on it is tried once more, unless the request must not be repeated.
 */
export function createLimitedFetch(fetchFunction: Fetch, limits: FetchLimits): LimitedFetch {
  const { sendAgain = true } = limits
  const open = new Set<AbortController>()

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
    open.add(controller)
    const attempt = async (): Promise<Response> =>
      fetchFunction(url, { ...options, redirect: 'manual', signal })
    try {
      const response = await attempt().catch((error: unknown) => {
        if (!sendAgain || signal.aborted || !(error instanceof TypeError)) throw error
        return attempt()
      })
      return await bounded(response, limits.maxBodyBytes)
    } finally {
      clearTimeout(timer)
      open.delete(controller)
    }
  }

  return {
    fetch: limitedFetch,
    close: () => {
      for (const controller of open) controller.abort()
    },
  }
}

async function bounded(response: Response, maxBodyBytes: number): Promise<Response> {
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

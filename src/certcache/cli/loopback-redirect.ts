/** Receives the redirect of a browser login on this machine, once (RFC 8252 section 7.3). */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TtsError } from '../../base/errors.ts'
import { listenError } from '../../base/system-error.ts'

export interface LoopbackRedirect {
  readonly redirectUri: string
  /**
   * Returns the URL of the redirect with this state. Other requests get 404.
   *
   * @throws the reason of the signal
   */
  wait(state: string, signal: AbortSignal): Promise<URL>
  close(): Promise<void>
}

const PATH = '/callback'
const MAX_URL = 8192

/**
 * Starts to listen on 127.0.0.1.
 *
 * @param port 0 picks a free port
 * @throws {TtsError} `configuration` when the port is taken
 */
export async function listenForRedirect(port: number): Promise<LoopbackRedirect> {
  let expected: { readonly state: string; readonly resolve: (url: URL) => void } | undefined
  let redirectUri = ''
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const url = redirectedUrl(request, redirectUri)
    // Any web page can send a request here. Only the redirect of this login knows the state.
    const isOurs = expected !== undefined && url?.searchParams.get('state') === expected.state
    const text = isOurs
      ? 'certcache has received the answer and shows the result on its terminal. You can close this window.\n'
      : 'Not found.\n'
    response
      .writeHead(isOurs ? 200 : 404, {
        'content-type': 'text/plain; charset=utf-8',
        'cache-control': 'no-store',
        'referrer-policy': 'no-referrer',
        connection: 'close',
      })
      .end(text)
    if (url && isOurs) expected?.resolve(url)
  }
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 10_000 }, answer)
  server.maxConnections = 20
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(cannotListen(port, cause)))
    server.listen({ host: '127.0.0.1', port }, resolve)
  })
  redirectUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}${PATH}`
  return {
    redirectUri,
    wait: async (state, signal) =>
      new Promise<URL>((resolve, reject) => {
        const abort = (): void => reject(signal.reason as Error)
        if (signal.aborted) abort()
        signal.addEventListener('abort', abort, { once: true })
        expected = { state, resolve }
      }),
    close: async () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeIdleConnections()
      }),
  }
}

/** Returns the URL of a request for the redirect URI; undefined for any other request. */
function redirectedUrl(request: IncomingMessage, redirectUri: string): URL | undefined {
  const { method, headers, url = '' } = request
  const base = new URL(redirectUri)
  if (method !== 'GET' || headers.host !== base.host || url.length > MAX_URL) return undefined
  if (!URL.canParse(url, base.href)) return undefined
  const requested = new URL(url, base)
  return requested.origin === base.origin && requested.pathname === PATH ? requested : undefined
}

function cannotListen(port: number, cause: NodeJS.ErrnoException): TtsError {
  const remedy =
    'Choose another port with --redirect-port. The redirect URI with it must be registered at the provider.'
  return listenError(`port ${port} of 127.0.0.1 for the redirect of the browser`, cause, {
    EADDRINUSE: remedy,
    EACCES: remedy,
  })
}

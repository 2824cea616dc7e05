/** Where a browser comes back to after a login: an address of this machine, for one return (RFC 8252 section 7.3). */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { TtsError } from '../../base/errors.ts'

export interface LoopbackRedirect {
  readonly redirectUri: string
  /**
   * The URL that the browser came back to with this state; whatever else comes is answered and forgotten.
   *
   * @throws the reason of the signal
   */
  wait(state: string, signal: AbortSignal): Promise<URL>
  close(): Promise<void>
}

const PATH = '/callback'
const MAX_URL = 8192

/**
 * Listens on 127.0.0.1.
 *
 * @param port 0 takes a free one
 * @throws {TtsError} `configuration` when the port is taken
 */
export async function listenForRedirect(port: number): Promise<LoopbackRedirect> {
  let heard: { readonly state: string; readonly take: (url: URL) => void } | undefined
  let redirectUri = ''
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const url = returnedUrl(request, redirectUri)
    // Without the state of this login it may be any page of the web that tries its luck.
    const isOurs = heard !== undefined && url?.searchParams.get('state') === heard.state
    const text = isOurs
      ? 'certcache has the answer, and says on its terminal how it went. This window can be closed.\n'
      : 'Nothing is waited for here.\n'
    response
      .writeHead(isOurs ? 200 : 404, {
        'content-type': 'text/plain; charset=utf-8',
        'cache-control': 'no-store',
        'referrer-policy': 'no-referrer',
        connection: 'close',
      })
      .end(text)
    if (url && isOurs) heard?.take(url)
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
        const give = (): void => reject(signal.reason as Error)
        if (signal.aborted) give()
        signal.addEventListener('abort', give, { once: true })
        heard = { state, take: resolve }
      }),
    close: async () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeIdleConnections()
      }),
  }
}

function returnedUrl(request: IncomingMessage, redirectUri: string): URL | undefined {
  const { method, headers, url = '' } = request
  const wanted = new URL(redirectUri)
  if (method !== 'GET' || headers.host !== wanted.host || url.length > MAX_URL) return undefined
  if (!URL.canParse(url, wanted.href)) return undefined
  const returned = new URL(url, wanted)
  return returned.origin === wanted.origin && returned.pathname === PATH ? returned : undefined
}

function cannotListen(port: number, cause: NodeJS.ErrnoException): TtsError {
  return new TtsError(
    'configuration',
    `the browser cannot come back: port ${port} of 127.0.0.1 cannot be used (${cause.code ?? 'error'})`,
    {
      remedy:
        'Name another port with --redirect-port; its redirect URI must be registered at the provider.',
      cause,
    },
  )
}

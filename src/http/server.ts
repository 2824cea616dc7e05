/** Listens on HTTP or HTTPS, reloads changed certificates, and finishes the current requests when it stops. */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import { listenError } from '../base/system-error.ts'
import { addressKey } from '../limits/address-key.ts'
import type { Log } from '../base/log.ts'
import { closeServer } from './close-server.ts'
import { type ConnectionLimits, limitConnections } from './connections.ts'
import { closeLingering } from './lingering-close.ts'
import { answerMalformed } from './malformed.ts'
import { messageClassesOf, useMessageClasses } from './message-classes.ts'
import { trackResponses } from './open-responses.ts'
import { handInTurns } from './request-turns.ts'
import { acceptGsiClients, type GsiProtocol } from './gsi-clients.ts'
import { followHeldTls, heldTlsOptions, type HeldTlsSource } from './held-tls.ts'
import type { TlsFilePaths } from './tls-files.ts'
import { reloadTls, tlsContext, type TlsReloading } from './tls-reload.ts'
import { normaliseTarget } from './request-target.ts'

export interface ListenOptions {
  readonly host: string
  readonly port: number
  readonly tls: TlsFilePaths | HeldTlsSource | undefined
  /**
   * Request a client certificate, but neither require nor verify one: the code that reads it must verify it. Default
   * false.
   */
  readonly askClientCertificate?: boolean
  readonly requestTimeoutMs: number
  /** Default: no limit. */
  readonly connections?: ConnectionLimits
  /** Called for each message that is not HTTP, with the parser's error code. */
  readonly onMalformed?: (code: string, address: string) => void
  /** URL of the problem types (RFC 9457 section 3.1.1). Default: `/problems` of this server. */
  readonly problemsUrl?: string
  /** Maximum size of all request headers together; longer ones are answered with 431. Default 32 KiB. */
  readonly maxHeaderBytes?: number
  /**
   * Accepts what GSI clients send: the delegation flag, another protocol, and lines that end in a line feed alone. Only
   * for listeners that no proxy is in front of and that close each connection after one request: a proxy could see
   * other requests than this parser.
   */
  readonly forGsiClients?: GsiProtocol
  /** The whole answer to a message that is not HTTP. Default: an HTTP response with problem details. */
  readonly malformedAnswer?: string
  readonly log: Log
  /** Interval between checks of the TLS files. Default 10,000. */
  readonly tlsLookIntervalMs?: number
}

export interface Listening {
  /** URL of the listener, for example `http://127.0.0.1:8080`. */
  readonly url: string
  /** When the TLS certificate in use expires; undefined without TLS. */
  readonly tlsEnd: Date | undefined
  /** Passes all further requests to another application. */
  use(app: RequestListener): void
  /** Stops accepting connections and waits until all requests are answered, at most `timeoutMs` milliseconds. */
  close(timeoutMs: number): Promise<void>
}

const unlimited: ConnectionLimits = {
  total: Infinity,
  perAddress: Infinity,
  isTrustedProxy: () => true,
  onClosed: () => undefined,
}

const TLS_CHECK_INTERVAL_MS = 10_000
/** Enough for a token of 16 KiB, which gets a proper refusal, and the other headers. */
const MAX_HEADER_BYTES = 32 * 1024
/** Interval at which Node checks for clients that send headers or requests too slowly. */
const SLOW_CLIENT_CHECK_INTERVAL_MS = 2000
const HANDSHAKE_TIMEOUT_MS = 10_000

/**
 * Starts to listen.
 *
 * @throws {TtsError} `configuration` (the address is not available, or the TLS files cannot be used)
 */
export async function listen(app: RequestListener, options: ListenOptions): Promise<Listening> {
  const { tls, requestTimeoutMs, connections: limits = unlimited } = options
  const { problemsUrl = '/problems' } = options
  const classes = messageClassesOf(app, {
    openRequests: (socket) => open.of(socket).size,
    onRequestFlood: () => limits.onClosed('pipelined'),
    onChunkFlood: ({ socket }) => connections.shutOut(socket),
  })
  const settings = {
    maxHeaderSize: options.maxHeaderBytes ?? MAX_HEADER_BYTES,
    connectionsCheckingInterval: SLOW_CLIENT_CHECK_INTERVAL_MS,
    insecureHTTPParser: options.forGsiClients !== undefined,
    ...classes,
  }
  const clientCertificate = options.askClientCertificate
    ? { requestCert: true, rejectUnauthorized: false }
    : {}
  const context = await contextOf(tls)
  const server = context
    ? createTlsServer({
        ...settings,
        ...clientCertificate,
        ...context.options,
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      })
    : createServer(settings)
  const connections = limitConnections(server, limits)
  const open = trackResponses(server)
  closeLingering(server)
  const gsi = gsiClientsOf(server, options)
  let current = app
  handRequestsTo((request, response) => current(request, response), server, limits)
  answerMalformed(server, open, { ...options, problemsUrl, answer: options.malformedAnswer })
  server.headersTimeout = 10_000
  server.requestTimeout = requestTimeoutMs
  server.keepAliveTimeout = 65_000
  server.maxHeadersCount = 100
  const reloading = context && isTls(server) ? context.follow(server, options) : undefined
  await bind(server, options)
  const address = server.address() as AddressInfo
  const urlHost = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return {
    url: `${tls ? 'https' : 'http'}://${urlHost}:${address.port}`,
    get tlsEnd() {
      return reloading?.end
    },
    use(next) {
      useMessageClasses(classes, next)
      current = next
    },
    close: async (timeoutMs) => {
      reloading?.stop()
      gsi?.dropWaiting()
      for (const response of open.all) {
        if (!response.headersSent) response.setHeader('Connection', 'close')
      }
      await closeServer(server, timeoutMs)
    },
  }
}

function gsiClientsOf(
  server: Server | TlsServer,
  { forGsiClients }: ListenOptions,
): ReturnType<typeof acceptGsiClients> | undefined {
  return forGsiClients && isTls(server) ? acceptGsiClients(server, forGsiClients) : undefined
}

interface TlsContext {
  readonly options: SecureContextOptions
  /** Continues with another certificate when there is one. */
  readonly follow: (server: TlsServer, options: ListenOptions) => TlsReloading
}

async function contextOf(tls: ListenOptions['tls']): Promise<TlsContext | undefined> {
  if (tls === undefined) return undefined
  if ('current' in tls) {
    const used = await tls.current()
    return {
      options: heldTlsOptions(used),
      follow: (server, { log }) => followHeldTls(server, tls, { log, used }),
    }
  }
  const { options, end } = tlsContext(tls)
  return {
    options,
    follow: (server, more) => reloadTls(server, tls, { end, ...reloadOptions(more) }),
  }
}

async function bind(
  server: Server | TlsServer,
  { host, port }: Pick<ListenOptions, 'host' | 'port'>,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(listenError(`${host} port ${port}`, cause))
    })
    server.listen({ host, port, backlog: 4096 }, resolve)
  })
}

/**
 * Passes requests to the application, also those with an Expect header: only the code that reads the body sends 100
 * Continue.
 */
function handRequestsTo(
  app: RequestListener,
  server: Server | TlsServer,
  { isTrustedProxy }: ConnectionLimits,
): void {
  // A reverse proxy is not one client: each of its connections counts as one.
  const clientOf = ({ socket: { remoteAddress = '', remotePort } }: IncomingMessage): string =>
    isTrustedProxy(remoteAddress) ? `${remoteAddress} ${remotePort}` : addressKey(remoteAddress)
  const listener = handInTurns(app, clientOf)
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    normaliseTarget(request)
    listener(request, response)
  })
  for (const event of ['checkContinue', 'checkExpectation'] as const) {
    server.on(event, (request: IncomingMessage, response: ServerResponse) => {
      server.emit('request', request, response)
    })
  }
}

function reloadOptions({ log, tlsLookIntervalMs = TLS_CHECK_INTERVAL_MS }: ListenOptions) {
  return { log, intervalMs: tlsLookIntervalMs }
}

function isTls(server: Server | TlsServer): server is TlsServer {
  return 'setSecureContext' in server
}

/** Listening: HTTP or HTTPS, certificates that are read again when they change, and a stop that finishes what was begun. */
import { readFileSync, watchFile, unwatchFile } from 'node:fs'
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createSecureContext } from 'node:tls'
import { TtsError } from '../base/errors.ts'
import { addressKey } from '../limits/address-key.ts'
import type { Log } from '../base/log.ts'
import { closeServer } from './close-server.ts'
import { type ConnectionLimits, limitConnections } from './connections.ts'
import { closeLingering } from './lingering-close.ts'
import { answerMalformed } from './malformed.ts'
import { messageClassesOf } from './message-classes.ts'
import { trackResponses } from './open-responses.ts'
import { handInTurns } from './request-turns.ts'
import { normaliseTarget } from './request-target.ts'

export interface ListenOptions {
  readonly host: string
  readonly port: number
  readonly tls: { readonly certificateFile: string; readonly keyFile: string } | undefined
  /** Ask clients for a certificate, require none and judge none: whoever reads it judges it. Default false. */
  readonly askClientCertificate?: boolean
  readonly requestTimeoutMs: number
  /** Default: no limit. */
  readonly connections?: ConnectionLimits
  /** Told about each message that is no HTTP, by the parser's code. Default: nobody is. */
  readonly onMalformed?: (code: string, address: string) => void
  /** Where the problem types are (RFC 9457 section 3.1.1). Default: `/problems` of this server. */
  readonly problemsUrl?: string
  readonly log: Log
  /** How often the TLS files are looked at. Default 10,000. */
  readonly tlsLookIntervalMs?: number
}

export interface Listening {
  /** Where it listens, for example `http://127.0.0.1:8080`. */
  readonly url: string
  /** Takes no new connection and waits until all requests are answered, or `timeoutMs` are over. */
  close(timeoutMs: number): Promise<void>
}

const unlimited: ConnectionLimits = {
  total: Infinity,
  perAddress: Infinity,
  isTrustedProxy: () => true,
  onClosed: () => undefined,
}

const TLS_LOOK_INTERVAL_MS = 10_000
/** Room for a token of 16 KiB, which is refused with its reason, and the other headers; node answers 431 beyond. */
const MAX_HEADER_BYTES = 32 * 1024
/** How often Node looks for clients that send their headers or requests too slowly. */
const SLOW_LOOK_INTERVAL_MS = 2000
const HANDSHAKE_TIMEOUT_MS = 10_000

/**
 * Starts to listen.
 *
 * @throws {TtsError} `configuration` when the address cannot be had or the TLS files cannot be used
 */
export async function listen(app: RequestListener, options: ListenOptions): Promise<Listening> {
  const { tls, host, port, requestTimeoutMs, connections: limits = unlimited } = options
  const { problemsUrl = '/problems' } = options
  const settings = {
    maxHeaderSize: MAX_HEADER_BYTES,
    connectionsCheckingInterval: SLOW_LOOK_INTERVAL_MS,
    ...messageClassesOf(app, {
      openRequests: (socket) => open.of(socket).size,
      onRequestFlood: () => limits.onClosed('pipelined'),
      onChunkFlood: ({ socket }) => connections.shutOut(socket),
    }),
  }
  const asking = options.askClientCertificate
    ? { requestCert: true, rejectUnauthorized: false }
    : {}
  const server = tls
    ? createTlsServer({
        ...settings,
        ...asking,
        ...readTls(tls),
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      })
    : createServer(settings)
  const connections = limitConnections(server, limits)
  const open = trackResponses(server)
  closeLingering(server)
  handRequestsTo(app, server, limits)
  answerMalformed(server, open, { onMalformed: options.onMalformed, problemsUrl })
  server.headersTimeout = 10_000
  server.requestTimeout = requestTimeoutMs
  server.keepAliveTimeout = 65_000
  server.maxHeadersCount = 100
  const unwatch = tls && isTls(server) ? watchTls(server, tls, options) : undefined
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(
        new TtsError(
          'configuration',
          `cannot listen on ${host} port ${port}: ${cause.code ?? cause.message}`,
          { cause },
        ),
      )
    })
    server.listen({ host, port, backlog: 4096 }, resolve)
  })
  const address = server.address() as AddressInfo
  const shown = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return {
    url: `${tls ? 'https' : 'http'}://${shown}:${address.port}`,
    close: async (timeoutMs) => {
      unwatch?.()
      for (const response of open.all) {
        if (!response.headersSent) response.setHeader('Connection', 'close')
      }
      await closeServer(server, timeoutMs)
    },
  }
}

/** Requests with an Expect header too: who reads the body tells the client to go on, and nobody else does. */
function handRequestsTo(
  app: RequestListener,
  server: Server | TlsServer,
  { isTrustedProxy }: ConnectionLimits,
): void {
  // A reverse proxy is not one client: each of its connections is for another one.
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

function isTls(server: Server | TlsServer): server is TlsServer {
  return 'setSecureContext' in server
}

function readTls({ certificateFile, keyFile }: NonNullable<ListenOptions['tls']>) {
  const files = `the TLS files ${certificateFile} and ${keyFile}`
  try {
    const read = { cert: readFileSync(certificateFile), key: readFileSync(keyFile) }
    const context = { ...read, minVersion: 'TLSv1.2' as const }
    // Throws when they do not belong together, before a server is made of them.
    createSecureContext(context)
    return context
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
    throw new TtsError('configuration', `${files} cannot be used (${code})`, { cause })
  }
}

/** Polls, since certificates are often replaced by changing a symbolic link far above them, which no watcher sees. */
function watchTls(
  server: TlsServer,
  files: NonNullable<ListenOptions['tls']>,
  { log, tlsLookIntervalMs = TLS_LOOK_INTERVAL_MS }: ListenOptions,
): () => void {
  const reload = (): void => {
    try {
      server.setSecureContext(readTls(files))
      log.info({ event: 'tls.reloaded' }, 'the TLS certificate was read again')
    } catch (error) {
      // Half-replaced files: the old certificate goes on until the next change.
      log.error(
        { event: 'tls.reload-failed', err: error },
        'the new TLS files cannot be used; the old ones stay in use',
      )
    }
  }
  const paths = [files.certificateFile, files.keyFile]
  for (const path of paths)
    watchFile(path, { interval: tlsLookIntervalMs, persistent: false }, reload)
  return () => {
    for (const path of paths) unwatchFile(path, reload)
  }
}

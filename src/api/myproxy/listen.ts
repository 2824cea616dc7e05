/** Listens for MyProxy clients: TLS, one request a connection, and limits on everything that a client can hold. */
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { AddressInfo, Socket } from 'node:net'
import { listenError } from '../../base/system-error.ts'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { clientCertificates } from '../../http/client-certificates.ts'
import { type ConnectionLimits, limitAnyConnections } from '../../http/connections.ts'
import { followHeldTls, heldTlsOptions, type HeldTlsSource } from '../../http/held-tls.ts'
import { plainAddress } from '../../limits/address-key.ts'
import type { MyProxyApp } from './app.ts'
import type { MyProxyConnection } from './context.ts'
import { createByteReader } from './byte-reader.ts'

export interface MyProxyListenOptions {
  readonly host: string
  readonly port: number
  readonly tls: HeldTlsSource
  readonly connections: ConnectionLimits
  /** Returns the application for the next request. */
  readonly app: () => MyProxyApp
  readonly maxRequestBytes: number
  /** Time until the request. Default 120,000, as in MyProxy: clients connect before they ask for the passphrase. */
  readonly requestWaitMs?: number
  readonly log: Log
}

export interface MyProxyListening {
  readonly port: number
  /** Stops accepting connections, and waits for the requests in progress, at most this time. */
  close(timeoutMs: number): Promise<void>
}

/**
 * In TLS 1.3 a server sends session tickets after the handshake. MyProxy's own clients take them for an empty message,
 * and that for the end of the connection.
 */
const FIXED = { maxVersion: 'TLSv1.2' } as const
const HANDSHAKE_TIMEOUT_MS = 10_000
const REQUEST_WAIT_MS = 120_000
/** Time for a client to close its end of the connection. */
const LINGER_MS = 2000
/** Time for a client to read the last message. */
const SENDING_MS = 30_000

/** @throws {TtsError} `configuration` (the address is not available), `store_unavailable` */
export async function listenMyProxy(options: MyProxyListenOptions): Promise<MyProxyListening> {
  const { tls, log, connections } = options
  const used = await tls.current()
  const server = createServer({
    ...heldTlsOptions(used, FIXED),
    requestCert: true,
    // The code that reads the certificate verifies it.
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  })
  const limited = limitAnyConnections(server, connections)
  const idle = new Set<TLSSocket>()
  /** With those whose handshake goes on. */
  const open = new Set<Socket>()
  let isClosing = false
  server.on('connection', (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  server.on('secureConnection', (socket) => {
    if (isClosing) {
      socket.destroy()
      return
    }
    idle.add(socket)
    socket.once('close', () => idle.delete(socket))
    const onRequest = (): (() => void) => {
      idle.delete(socket)
      return limited.requestOn(socket)
    }
    void serve(socket, options, onRequest)
  })
  // A failed handshake ends its connection; there is nobody to tell.
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  await bind(server, options)
  const following = followHeldTls(server, tls, { log, used, fixed: FIXED })
  return {
    port: (server.address() as AddressInfo).port,
    async close(timeoutMs) {
      following.stop()
      isClosing = true
      for (const socket of idle) socket.destroy()
      const timer = setTimeout(() => {
        for (const socket of open) socket.destroy()
      }, timeoutMs)
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
      })
      clearTimeout(timer)
    },
  }
}

/** Serves one connection. Never throws. */
async function serve(
  socket: TLSSocket,
  { app, maxRequestBytes, requestWaitMs = REQUEST_WAIT_MS }: MyProxyListenOptions,
  onRequest: () => () => void,
): Promise<void> {
  const closed = new AbortController()
  socket.once('close', () => closed.abort())
  socket.on('error', () => socket.destroy())
  const { remoteAddress = 'unknown' } = socket
  const reader = createByteReader(socket, maxRequestBytes)
  const request = await readRequest(reader, requestWaitMs)
  if (request === undefined || socket.destroyed) {
    socket.destroy()
    return
  }
  const onEnd = onRequest()
  await app()({
    request,
    reader,
    address: plainAddress(remoteAddress),
    certificates: clientCertificates(socket),
    closed: closed.signal,
    ...senderOn(socket),
  })
  onEnd()
  await endConnection(socket)
}

function senderOn(socket: TLSSocket): Pick<MyProxyConnection, 'send' | 'sent' | 'drop'> {
  const drop = (): void => void socket.destroy()
  let latest: Promise<void> = Promise.resolve()
  return {
    drop,
    send(message) {
      if (!socket.writable) return
      // Called with an error too, when the connection is closed.
      latest = new Promise((resolve) => socket.write(message, () => resolve()))
    },
    async sent() {
      const timer = setTimeout(drop, SENDING_MS)
      await latest
      clearTimeout(timer)
    },
  }
}

async function readRequest(
  reader: ReturnType<typeof createByteReader>,
  waitMs: number,
): Promise<Buffer | TtsError | undefined> {
  const wait = new AbortController()
  const tooLate = `no request came within ${waitMs / 1000} seconds`
  const timer = setTimeout(
    () => wait.abort(new TtsError('request_timeout', tooLate, { check: 'request' })),
    waitMs,
  )
  try {
    return await reader.request(wait.signal)
  } catch (error) {
    return error as TtsError
  } finally {
    clearTimeout(timer)
  }
}

/** Ends the connection. What still comes is discarded: a reset would take the answer from a client that is sending. */
async function endConnection(socket: TLSSocket): Promise<void> {
  if (socket.destroyed) return
  socket.removeAllListeners('data')
  socket.resume()
  socket.end()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  socket.once('close', () => resolve())
  await closed
  clearTimeout(timer)
}

async function bind(server: Server, { host, port }: MyProxyListenOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(listenError(`${host} port ${port}`, cause))
    })
    server.listen({ host, port, backlog: 4096 }, resolve)
  })
}

/**
 * Listens on loopback, the network with TLS, or a Unix socket. Limits connections, and completes open requests at
 * shutdown.
 */
import { unwatchFile, watchFile } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { z } from 'zod'
import { openFilesLimit } from '../../base/open-files.ts'
import { listenError } from '../../base/system-error.ts'
import { closeServer } from '../../http/close-server.ts'
import { limitConnections } from '../../http/connections.ts'
import { messageClassesOf } from '../../http/message-classes.ts'
import { readTlsFiles } from '../../http/tls-files.ts'
import { trackResponses } from '../../http/open-responses.ts'
import { partOf } from '../../limits/shares.ts'
import type { Log } from '../../base/log.ts'
import type { listenSettings } from '../settings/listen-settings.ts'
import { readClientCa } from './client-ca.ts'
import { prepareSocket } from './unix-socket.ts'

export type ListenSettings = Readonly<z.output<typeof listenSettings>>

export interface ListenParts {
  readonly listen: ListenSettings
  /** CAs of client certificates. If set, every client is asked for a certificate. */
  readonly clientCaFile: string | undefined
  readonly log: Log
  /** How often the TLS files are checked for changes. Default 10,000. */
  readonly tlsPollMs?: number
}

export interface ListeningServer {
  /** Where it listens: `http://127.0.0.1:8081`, or `unix:/run/certcache/socket`. */
  readonly url: string
  /** Returns the number of open connections. */
  connections(): Promise<number>
  /**
   * Reads other TLS files, or new versions of the same ones.
   *
   * @throws {TtsError} `configuration`; the old files then stay in use
   */
  reloadTls(files: TlsFiles): void
  /**
   * Whether a connection is older than the last `reloadTls`, so its client certificate was verified against the old
   * CAs.
   */
  isOutdated(socket: Socket): boolean
  /**
   * Accepts no new connection and waits until all requests are answered, at most `timeoutMs`. Responses sent
   * meanwhile must end their connections.
   */
  close(timeoutMs: number): Promise<void>
}

export interface TlsFiles {
  readonly certificateFile: string
  readonly keyFile: string
  readonly clientCaFile: string | undefined
}

const BACKLOG = 4096
const TLS_POLL_MS = 10_000
/** Enough for usual headers. A proxy file sent as a header by mistake does not fit. */
const MAX_HEADER_BYTES = 16 * 1024
/** Enough for a cluster that starts all at once: each worker waits for the first proxy on a connection of its own. */
const MOST_CONNECTIONS = 12_000
const LEAST_CONNECTIONS = 100
/** Files for everything else: state, outputs, connections to the service. */
const OTHER_FILES = 200
/** Memory for everything else. */
const OTHER_BYTES = 150e6
/** Memory of a connection with a waiting request, as measured, with some to spare. */
const CONNECTION_BYTES = { plain: 20e3, tls: 80e3 }
const SHARE_OF_ONE_ADDRESS = 1 / 4

/**
 * Starts to listen.
 *
 * @throws {TtsError} `configuration` when the address is not available or the TLS files cannot be used
 */
export async function startListening(
  app: RequestListener,
  parts: ListenParts,
): Promise<ListeningServer> {
  const { listen } = parts
  const files = tlsFilesOf(listen, parts.clientCaFile)
  const settings = {
    maxHeaderSize: MAX_HEADER_BYTES,
    connectionsCheckingInterval: 2000,
    ...messageClassesOf(app, {
      openRequests: (socket) => open.of(socket).size,
      onRequestFlood: () => undefined,
      onChunkFlood: ({ socket }) => void socket.destroy(),
    }),
  }
  const server = files
    ? createTlsServer({ ...settings, ...readTls(files), handshakeTimeout: 10_000 }, app)
    : createServer(settings, app)
  const open = trackResponses(server)
  // No 100 Continue: request bodies are refused.
  server.on('checkContinue', (request, response) => void server.emit('request', request, response))
  setLimits(server)
  if (listen.socket === undefined) await bind(server, listen)
  else await bindSocket(server, listen.socket, listen.socket_mode)
  const tls = files && isTls(server) ? watchTls(server, files, parts) : undefined
  return {
    url: urlOf(server, listen, files !== undefined),
    connections: () =>
      new Promise((resolve) => server.getConnections((error, count) => resolve(error ? 0 : count))),
    reloadTls: (changed) => tls?.change(changed),
    isOutdated: (socket) => tls?.outdated.has(socket) ?? false,
    close: async (timeoutMs) => {
      tls?.end()
      await closeServer(server, timeoutMs)
    },
  }
}

/** Returns the TLS files of the settings; undefined for plain HTTP. */
export function tlsFilesOf(
  { tls_certificate_file: certificateFile, tls_key_file: keyFile }: ListenSettings,
  clientCaFile: string | undefined,
): TlsFiles | undefined {
  return certificateFile === undefined || keyFile === undefined
    ? undefined
    : { certificateFile, keyFile, clientCaFile }
}

/** Sets the limits: closes connections that are slow or idle, and limits their number. */
function setLimits(server: Server | TlsServer): void {
  server.headersTimeout = 10_000
  server.requestTimeout = 15_000
  server.keepAliveTimeout = 65_000
  // Longer than a request waits for the first proxy.
  server.timeout = 120_000
  server.maxHeadersCount = 100
  // Above it, connections without a request are closed, so that the process runs out of neither files nor memory.
  const total = connectionLimit({
    openFiles: openFilesLimit(),
    memoryBytes: process.constrainedMemory(),
    isTls: isTls(server),
  })
  limitConnections(server, {
    total,
    perAddress: partOf(total, SHARE_OF_ONE_ADDRESS),
    // Clients of a Unix socket have no address. They are exempt: the mode of the socket decides who they are.
    isTrustedProxy: (address) => address === '',
    onClosed: () => undefined,
  })
}

/**
 * Returns how many connections may be open at a time.
 *
 * @param room.openFiles that this process may have; undefined if it is not known
 * @param room.memoryBytes that its container may use; 0 or more than there is: no limit
 */
export function connectionLimit(room: {
  readonly openFiles: number | undefined
  readonly memoryBytes: number
  readonly isTls: boolean
}): number {
  const { openFiles = Infinity, memoryBytes, isTls } = room
  const bytes = memoryBytes === 0 ? Infinity : memoryBytes
  const byMemory = (bytes - OTHER_BYTES) / CONNECTION_BYTES[isTls ? 'tls' : 'plain']
  return Math.floor(
    Math.max(LEAST_CONNECTIONS, Math.min(MOST_CONNECTIONS, openFiles - OTHER_FILES, byMemory)),
  )
}

async function bind(server: Server | TlsServer, { host, port }: ListenSettings): Promise<void> {
  await listenOn(server, { host, port, backlog: BACKLOG }, `${host} port ${port}`)
}

async function bindSocket(server: Server, path: string, mode = '0600'): Promise<void> {
  const prepared = await prepareSocket(path)
  // Closed last: Node removes the socket by this path when it stops listening.
  server.once('close', () => void prepared.close())
  try {
    await withUmask(0o777 & ~Number.parseInt(mode, 8), async () =>
      listenOn(server, { path: prepared.path, backlog: BACKLOG }, path),
    )
  } catch (error) {
    await prepared.close()
    throw error
  }
}

/** Creates the socket with its final mode. A chmod afterwards could change a file that another user put there. */
async function withUmask<Result>(mask: number, work: () => Promise<Result>): Promise<Result> {
  const before = process.umask(mask)
  // Node binds synchronously within listen(), so the umask can be restored before the promise settles.
  const result = work()
  process.umask(before)
  return result
}

async function listenOn(
  server: Server | TlsServer,
  address: { host: string; port: number; backlog: number } | { path: string; backlog: number },
  shown: string,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const EADDRINUSE =
        'Choose another listen.port, or stop the program that listens there (`certcache status` shows a running certcache).'
      reject(listenError(shown, cause, { EADDRINUSE }))
    })
    server.listen(address, resolve)
  })
}

function urlOf(server: Server | TlsServer, { socket }: ListenSettings, secure: boolean): string {
  if (socket !== undefined) return `unix:${socket}`
  const address = server.address() as AddressInfo
  const shown = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return `${secure ? 'https' : 'http'}://${shown}:${address.port}`
}

const isTls = (server: Server | TlsServer): server is TlsServer => 'setSecureContext' in server

function readTls({ certificateFile, keyFile, clientCaFile }: TlsFiles) {
  const { certificatePem: cert, keyPem: key } = readTlsFiles({ certificateFile, keyFile })
  const context = { cert, key, minVersion: 'TLSv1.2' as const }
  if (clientCaFile === undefined) return context
  // A client without a certificate gets an HTTP error from the access rules instead of a failed handshake.
  return {
    ...context,
    ca: readClientCa(clientCaFile),
    requestCert: true,
    rejectUnauthorized: false,
  }
}

/**
 * Polls the TLS files, because certificates are often replaced by changing a symbolic link in a parent directory,
 * which file watchers miss.
 */
function watchTls(
  server: TlsServer,
  first: TlsFiles,
  { log, tlsPollMs = TLS_POLL_MS }: ListenParts,
) {
  let files = first
  const sockets = openSockets(server)
  const outdated = new WeakSet<Socket>()
  const apply = (next: TlsFiles): void => {
    server.setSecureContext(readTls(next))
    for (const socket of sockets) outdated.add(socket)
    server.closeIdleConnections()
  }
  const onChange = (): void => {
    try {
      apply(files)
      log.info({ event: 'tls.reloaded' }, 'reloaded the TLS certificate')
    } catch (error) {
      // The files may be half replaced. The old certificate stays in use until the next change.
      const fields = { event: 'tls.reload-failed', err: error }
      log.error(fields, 'the new TLS files cannot be used; the old ones stay in use')
    }
  }
  const paths = (): readonly string[] =>
    [files.certificateFile, files.keyFile, files.clientCaFile].filter((path) => path !== undefined)
  const watch = (): void => {
    for (const path of paths())
      watchFile(path, { interval: tlsPollMs, persistent: false }, onChange)
  }
  const end = (): void => {
    for (const path of paths()) unwatchFile(path, onChange)
  }
  watch()
  return {
    outdated,
    end,
    change: (changed: TlsFiles): void => {
      apply(changed)
      end()
      files = changed
      watch()
    },
  }
}

function openSockets(server: TlsServer): ReadonlySet<Socket> {
  const sockets = new Set<Socket>()
  server.on('secureConnection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return sockets
}

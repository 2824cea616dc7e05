/** Listening of certcache: loopback, network with TLS, or a Unix socket; bounded, and with a stop that finishes what was begun. */
import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { createSecureContext } from 'node:tls'
import type { z } from 'zod'
import { TtsError } from '../../base/errors.ts'
import { closeServer } from '../../http/close-server.ts'
import { limitConnections } from '../../http/connections.ts'
import { messageClassesOf } from '../../http/message-classes.ts'
import { trackResponses } from '../../http/open-responses.ts'
import { partOf } from '../../limits/part-of.ts'
import type { Log } from '../../base/log.ts'
import type { listenSettings } from '../settings/listen-settings.ts'
import { prepareSocket } from './unix-socket.ts'

export type ListenSettings = Readonly<z.output<typeof listenSettings>>

export interface ListenParts {
  readonly listen: ListenSettings
  /** CAs of client certificates; with them every client is asked for one. */
  readonly clientCaFile: string | undefined
  readonly log: Log
  /** How often the TLS files are looked at. Default 10,000. */
  readonly tlsLookIntervalMs?: number
}

export interface ListeningServer {
  /** Where it listens: `http://127.0.0.1:8081`, or `unix:/run/certcache/socket`. */
  readonly url: string
  /** Connections that are open. */
  connections(): Promise<number>
  /**
   * Takes other TLS files, or the same that were replaced.
   *
   * @throws {TtsError} `configuration`; the old ones then stay in use
   */
  reloadTls(files: TlsFiles): void
  /** Whether a connection is from before `reloadTls`: what its client showed was judged by other CAs. */
  isOutdated(socket: Socket): boolean
  /**
   * Takes no new connection and waits until all requests are answered, or `timeoutMs` are over. Who answers meanwhile must
   * end the connection with the answer.
   */
  close(timeoutMs: number): Promise<void>
}

export interface TlsFiles {
  readonly certificateFile: string
  readonly keyFile: string
  readonly clientCaFile: string | undefined
}

const BACKLOG = 4096
const TLS_LOOK_INTERVAL_MS = 10_000
/** A client with its headers; a proxy sent by mistake as a header does not fit. */
const MAX_HEADER_BYTES = 16 * 1024
/** At more, those without a request are closed, so that the descriptors of the process are not used up. */
export const MAX_CONNECTIONS = 4096
const SHARE_OF_ONE_ADDRESS = 1 / 4

/**
 * Starts to listen.
 *
 * @throws {TtsError} `configuration` when the place cannot be had or the TLS files cannot be used
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
  // No body is taken, so nobody is told to go on and send one.
  server.on('checkContinue', (request, response) => void server.emit('request', request, response))
  setBounds(server)
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

/** The TLS files of the settings; undefined when it is plain HTTP. */
export function tlsFilesOf(
  { tls_certificate_file: certificateFile, tls_key_file: keyFile }: ListenSettings,
  clientCaFile: string | undefined,
): TlsFiles | undefined {
  return certificateFile === undefined || keyFile === undefined
    ? undefined
    : { certificateFile, keyFile, clientCaFile }
}

/** Clients that send or read slowly, or hold a connection without use, are closed. */
function setBounds(server: Server | TlsServer): void {
  server.headersTimeout = 10_000
  server.requestTimeout = 15_000
  server.keepAliveTimeout = 65_000
  // Longer than a request waits for the first proxy.
  server.timeout = 120_000
  server.maxHeadersCount = 100
  limitConnections(server, {
    total: MAX_CONNECTIONS,
    perAddress: partOf(MAX_CONNECTIONS, SHARE_OF_ONE_ADDRESS),
    // A Unix socket has no address, and its clients are those of this machine whom its mode lets in.
    isTrustedProxy: (address) => address === '',
    onClosed: () => undefined,
  })
}

async function bind(server: Server | TlsServer, { host, port }: ListenSettings): Promise<void> {
  await listenOn(server, { host, port, backlog: BACKLOG }, `${host} port ${port}`)
}

async function bindSocket(server: Server, path: string, mode = '0600'): Promise<void> {
  const place = await prepareSocket(path)
  // Node removes the socket by this path when it stops listening.
  server.once('close', () => void place.close())
  try {
    await withUmask(0o777 & ~Number.parseInt(mode, 8), async () =>
      listenOn(server, { path: place.path, backlog: BACKLOG }, path),
    )
  } catch (error) {
    await place.close()
    throw error
  }
}

/** The socket has its mode from its first moment: a chmod afterwards could hit what somebody else put in its place. */
async function withUmask<Result>(mask: number, work: () => Promise<Result>): Promise<Result> {
  const before = process.umask(mask)
  // Node binds before listen() returns, and with that before `work` waits for anything.
  const done = work()
  process.umask(before)
  return done
}

async function listenOn(
  server: Server | TlsServer,
  where: { host: string; port: number; backlog: number } | { path: string; backlog: number },
  words: string,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const code = cause.code ?? cause.message
      const remedy =
        code === 'EADDRINUSE'
          ? 'Another program listens there already: see `certcache status`, or choose another listen.port.'
          : undefined
      reject(
        new TtsError('configuration', `cannot listen on ${words}: ${code}`, {
          cause,
          ...(remedy === undefined ? {} : { remedy }),
        }),
      )
    })
    server.listen(where, resolve)
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
  const names = [certificateFile, keyFile, ...(clientCaFile === undefined ? [] : [clientCaFile])]
  try {
    const context = {
      cert: readFileSync(certificateFile),
      key: readFileSync(keyFile),
      ...(clientCaFile === undefined ? {} : { ca: readFileSync(clientCaFile, 'utf8') }),
      minVersion: 'TLSv1.2' as const,
    }
    if (context.ca?.includes('-----BEGIN CERTIFICATE-----') === false)
      throw Object.assign(new Error('no certificate'), { code: 'no CA in PEM' })
    // Throws when they do not belong together, before a server is made of them.
    createSecureContext(context)
    // Who has no certificate is answered with words, by the access rules, not with a broken handshake.
    const asked = { requestCert: true, rejectUnauthorized: false }
    return clientCaFile === undefined ? context : { ...context, ...asked }
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
    throw new TtsError(
      'configuration',
      `the TLS files ${names.join(', ')} cannot be used (${code})`,
      { cause },
    )
  }
}

/** Polls, since certificates are often replaced by changing a symbolic link far above them, which no watcher sees. */
function watchTls(
  server: TlsServer,
  first: TlsFiles,
  { log, tlsLookIntervalMs = TLS_LOOK_INTERVAL_MS }: ListenParts,
) {
  let files = first
  const sockets = openSockets(server)
  const outdated = new WeakSet<Socket>()
  const take = (next: TlsFiles): void => {
    server.setSecureContext(readTls(next))
    for (const socket of sockets) outdated.add(socket)
    server.closeIdleConnections()
  }
  const onChange = (): void => {
    try {
      take(files)
      log.info({ event: 'tls.reloaded' }, 'the TLS certificate was read again')
    } catch (error) {
      // Half-replaced files: the old certificate goes on until the next change.
      const fields = { event: 'tls.reload-failed', err: error }
      log.error(fields, 'the new TLS files cannot be used; the old ones stay in use')
    }
  }
  const paths = (): readonly string[] =>
    [files.certificateFile, files.keyFile, files.clientCaFile].filter((path) => path !== undefined)
  const watch = (): void => {
    for (const path of paths())
      watchFile(path, { interval: tlsLookIntervalMs, persistent: false }, onChange)
  }
  const end = (): void => {
    for (const path of paths()) unwatchFile(path, onChange)
  }
  watch()
  return {
    outdated,
    end,
    change: (changed: TlsFiles): void => {
      take(changed)
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

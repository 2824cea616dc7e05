/** Listening: HTTP or HTTPS, certificates that are read again when they change, and a stop that finishes what was begun. */
import { readFileSync, watchFile, unwatchFile } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { RequestListener } from 'node:http'
import { TtsError } from '../errors.ts'
import type { Log } from '../log.ts'

export interface ListenOptions {
  readonly host: string
  readonly port: number
  readonly tls: { readonly certificateFile: string; readonly keyFile: string } | undefined
  readonly requestTimeoutMs: number
  readonly log: Log
}

export interface Listening {
  /** Where it listens, for example `http://127.0.0.1:8080`. */
  readonly url: string
  /** Takes no new connection and waits until all requests are answered, or `timeoutMs` are over. */
  close(timeoutMs: number): Promise<void>
}

const TLS_LOOK_INTERVAL_MS = 10_000

/**
 * Starts to listen.
 *
 * @throws {TtsError} `configuration` when the address cannot be had or the TLS files cannot be used
 */
export async function listen(app: RequestListener, options: ListenOptions): Promise<Listening> {
  const { tls, host, port, requestTimeoutMs } = options
  const server = tls ? createTlsServer(readTls(tls), app) : createServer(app)
  server.headersTimeout = 10_000
  server.requestTimeout = requestTimeoutMs
  server.keepAliveTimeout = 65_000
  server.maxHeadersCount = 100
  const unwatch = tls && isTls(server) ? watchTls(server, tls, options.log) : undefined
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
      await closeServer(server, timeoutMs)
    },
  }
}

function isTls(server: Server | TlsServer): server is TlsServer {
  return 'setSecureContext' in server
}

function readTls({ certificateFile, keyFile }: NonNullable<ListenOptions['tls']>) {
  try {
    return {
      cert: readFileSync(certificateFile),
      key: readFileSync(keyFile),
      minVersion: 'TLSv1.2' as const,
    }
  } catch (cause) {
    throw new TtsError(
      'configuration',
      `the TLS files ${certificateFile} and ${keyFile} cannot be read`,
      { cause },
    )
  }
}

/** Polls, since certificates are often replaced by changing a symbolic link far above them, which no watcher sees. */
function watchTls(
  server: TlsServer,
  files: NonNullable<ListenOptions['tls']>,
  log: Log,
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
    watchFile(path, { interval: TLS_LOOK_INTERVAL_MS, persistent: false }, reload)
  return () => {
    for (const path of paths) unwatchFile(path, reload)
  }
}

async function closeServer(server: Server | TlsServer, timeoutMs: number): Promise<void> {
  const timer = setTimeout(() => server.closeAllConnections(), timeoutMs)
  await new Promise<void>((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })
  clearTimeout(timer)
}

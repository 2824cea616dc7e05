/**
 * What GSI clients, such as those of VOMS in C++, do before and in place of HTTP. They send a `0` after the TLS
 * handshake, which says that no delegation follows. And when an HTTP server refuses them, they try the protocol of
 * before 2010: an XML document in, an XML document out.
 */
import type { Server as TlsServer } from 'node:https'
import type { TLSSocket } from 'node:tls'

/** Another protocol, which is translated to HTTP and back. */
export interface GsiProtocol {
  /** Ends a request. */
  readonly end: string
  /** Returns the HTTP request for a request; undefined if it cannot be read. */
  readonly toHttp: (request: string) => string | undefined
}

const NO_DELEGATION = 0x30
const XML_BEGINS = 0x3c
/** Time for the whole request, like that for the headers of HTTP. */
const REQUEST_TIMEOUT_MS = 10_000
const MAX_REQUEST_BYTES = 16 * 1024

/**
 * Hands each TLS connection to the HTTP server once HTTP begins. A request of the other protocol is handed on as HTTP,
 * and of the response the client gets only the body.
 *
 * @returns how to close connections without a request, which the HTTP server does not know
 */
export function acceptGsiClients(
  server: TlsServer,
  protocol: GsiProtocol,
): { readonly dropWaiting: () => void } {
  const waiting = new Set<TLSSocket>()
  const listeners = server.listeners('secureConnection')
  server.removeAllListeners('secureConnection')
  server.on('secureConnection', (socket) => {
    waiting.add(socket)
    socket.once('close', () => waiting.delete(socket))
    whenHttpBegins(socket, protocol, () => {
      waiting.delete(socket)
      for (const listener of listeners) listener.call(server, socket)
    })
  })
  return {
    dropWaiting() {
      for (const socket of waiting) socket.destroy()
    },
  }
}

function whenHttpBegins(socket: TLSSocket, protocol: GsiProtocol, handOn: () => void): void {
  let held: Buffer = Buffer.alloc(0)
  let mayHaveFlag = true
  const giveUp = (): void => {
    socket.destroy()
  }
  const timer = setTimeout(giveUp, REQUEST_TIMEOUT_MS)
  socket.once('close', () => clearTimeout(timer))
  const read = (chunk: Buffer): void => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    if (mayHaveFlag && held[0] === NO_DELEGATION) held = held.subarray(1)
    mayHaveFlag = false
    if (held.length === 0) return
    const isOther = held[0] === XML_BEGINS
    const isWhole = !isOther || held.includes(protocol.end)
    if (!isWhole && held.length <= MAX_REQUEST_BYTES) return
    clearTimeout(timer)
    socket.off('data', read)
    socket.off('error', giveUp)
    socket.pause()
    const http = isOther ? protocol.toHttp(held.toString('latin1')) : undefined
    if (http !== undefined) sendBodiesOnly(socket)
    // What is not understood goes to the HTTP parser as it is, and is answered as malformed.
    socket.unshift(http === undefined ? held : Buffer.from(http, 'latin1'))
    handOn()
    socket.resume()
  }
  socket.on('error', giveUp)
  socket.on('data', read)
}

const HEAD_END = '\r\n\r\n'

/** Leaves the head of the response out of what is written to the socket. Node writes it first, in one piece. */
function sendBodiesOnly(socket: TLSSocket): void {
  const write = socket.write.bind(socket)
  const withoutHead = (chunk: unknown, ...more: unknown[]): boolean => {
    socket.write = write
    const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array).toString()
    const end = text.indexOf(HEAD_END)
    const body = end < 0 ? '' : text.slice(end + HEAD_END.length)
    return Reflect.apply(write, undefined, [body, ...more]) as boolean
  }
  socket.write = withoutHead
}

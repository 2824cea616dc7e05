/**
 * Tracks the unfinished responses of each connection. A client may pipeline requests (RFC 9112 section 9.3.2), but
 * only one response at a time has the connection. When the connection ends, not every release of Node emits `close`
 * on the other responses. Code that waits for it would wait forever, and the request would keep its place among those
 * in flight and get no log line. This module emits `close` once on each of them.
 */
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'

export interface OpenResponses {
  /** Responses of all connections. */
  readonly all: ReadonlySet<ServerResponse>
  /** Responses of one connection, in the order of their requests. */
  of(socket: Socket): ReadonlySet<ServerResponse>
}

const none: ReadonlySet<ServerResponse> = new Set()

/** Tracks all future connections of a server. */
export function trackResponses(server: HttpServer | HttpsServer): OpenResponses {
  const all = new Set<ServerResponse>()
  const bySocket = new WeakMap<Socket, Set<ServerResponse>>()

  const begin = (socket: Socket): Set<ServerResponse> => {
    const responses = new Set<ServerResponse>()
    bySocket.set(socket, responses)
    // Runs after Node has closed the response that has the connection, because it must not get the event twice.
    socket.once('close', () => setImmediate(() => responses.forEach(close)))
    return responses
  }

  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const own = bySocket.get(socket) ?? begin(socket)
    own.add(response)
    all.add(response)
    response.once('close', () => {
      own.delete(response)
      all.delete(response)
    })
  })
  return { all, of: (socket) => bySocket.get(socket) ?? none }
}

/** Discards everything that is still written to the response. */
function close(response: ServerResponse): void {
  response.destroy()
  response.emit('close')
}

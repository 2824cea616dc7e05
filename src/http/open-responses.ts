/**
 * The responses that are not finished, by connection. A client may send requests ahead of their answers (RFC 9112 section 9.3.2);
 * only one response at a time then has the connection. When that ends, not every release of Node tells the other ones, and
 * whatever waits for their end would wait for ever: a request's place among those in flight, its line in the log. Here all
 * of them are told, once.
 */
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'

export interface OpenResponses {
  /** Of all connections. */
  readonly all: ReadonlySet<ServerResponse>
  /** Of one connection, in the order of their requests. */
  of(socket: Socket): ReadonlySet<ServerResponse>
}

const none: ReadonlySet<ServerResponse> = new Set()

/** Follows all connections of a server, from now on. */
export function trackResponses(server: HttpServer | HttpsServer): OpenResponses {
  const all = new Set<ServerResponse>()
  const bySocket = new WeakMap<Socket, Set<ServerResponse>>()

  const begin = (socket: Socket): Set<ServerResponse> => {
    const responses = new Set<ServerResponse>()
    bySocket.set(socket, responses)
    // After Node has told the one that has the connection, which must not be told twice.
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

/** What is still written goes nowhere. */
function close(response: ServerResponse): void {
  response.destroy()
  response.emit('close')
}

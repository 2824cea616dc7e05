/**
 * Of requests that a client sends ahead of their answers (RFC 9112 section 9.3.2) only one response at a time has the connection.
 * When that ends, Node tells no other one, and whatever waits for their end waits for ever: the place of a request among
 * those in flight, its line in the log. Here all of them are told.
 */
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'

/** Applies this to all connections of a server, from now on. */
export function closeQueuedResponses(server: HttpServer | HttpsServer): void {
  const open = new WeakMap<Socket, Set<ServerResponse>>()

  const responsesOf = (socket: Socket): Set<ServerResponse> => {
    const known = open.get(socket)
    if (known !== undefined) return known
    const responses = new Set<ServerResponse>()
    open.set(socket, responses)
    // After Node has told the one that has the connection, which must not be told twice.
    socket.once('close', () => setImmediate(() => responses.forEach(close)))
    return responses
  }

  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const responses = responsesOf(socket)
    responses.add(response)
    response.once('close', () => responses.delete(response))
  })
}

/** What is still written goes nowhere. */
function close(response: ServerResponse): void {
  response.destroy()
  response.emit('close')
}

/**
 * Node closes a connection as soon as its last answer is written. When the client is still sending, the kernel then resets the
 * connection, and the client may lose the answer that says why. Here what still comes is read and thrown away for a moment.
 */
import type { IncomingMessage, Server as HttpServer } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'

const LINGER_MS = 2000

/** Applies this to all connections of a server, from now on. */
export function closeLingering(server: HttpServer | HttpsServer): void {
  server.on('request', (request: IncomingMessage) => {
    const { socket } = request
    // Node's server calls this method to close a connection after its last answer.
    socket.destroySoon = () => {
      if (request.complete) Object.getPrototypeOf(socket).destroySoon.call(socket)
      else linger(socket, request)
    }
  })
}

function linger(socket: Socket, request: IncomingMessage): void {
  const destroy = (): void => void socket.destroy()
  const timer = setTimeout(destroy, LINGER_MS)
  timer.unref()
  // Complete: nothing more is on its way that could reset the connection.
  request.once('end', destroy)
  socket.once('close', () => clearTimeout(timer))
  socket.end()
}

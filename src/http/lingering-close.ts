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
      else linger(socket)
    }
  })
}

function linger(socket: Socket): void {
  // Past the HTTP parser: a body in chunks of one byte costs it a thousand times what the bytes cost.
  socket.removeAllListeners('data')
  socket.on('data', () => undefined)
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
  socket.end()
}

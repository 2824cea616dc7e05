/**
 * Node closes a connection as soon as its last answer is written. If the client is still sending, the kernel then
 * resets the connection, and the client may lose the answer with the reason. This module reads and discards further
 * data for a short time instead.
 */
import type { IncomingMessage, Server as HttpServer } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'

const LINGER_MS = 2000

/** Applies this to all future connections of a server. */
export function closeLingering(server: HttpServer | HttpsServer): void {
  server.on('request', (request: IncomingMessage) => {
    const { socket } = request
    // Node calls this method to close a connection after its last answer.
    socket.destroySoon = () => {
      if (request.complete) Object.getPrototypeOf(socket).destroySoon.call(socket)
      else linger(socket)
    }
  })
}

function linger(socket: Socket): void {
  // Bypasses the HTTP parser, for which a body in chunks of one byte costs a thousand times more than the bytes alone.
  socket.removeAllListeners('data')
  socket.on('data', () => undefined)
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
  socket.end()
}

/** The end of a server that finishes what was begun. */
import type { Server } from 'node:http'
import type { Server as TlsServer } from 'node:https'

const LOOK_INTERVAL_MS = 25

/** Takes no new connection and waits until all requests are answered; after `timeoutMs` what is left is cut off. */
export async function closeServer(server: Server | TlsServer, timeoutMs: number): Promise<void> {
  // close() ends only the connections that are idle at that moment; those that become so later would stay for a minute.
  const look = setInterval(() => server.closeIdleConnections(), LOOK_INTERVAL_MS)
  const timer = setTimeout(() => server.closeAllConnections(), timeoutMs)
  await new Promise<void>((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })
  clearInterval(look)
  clearTimeout(timer)
}

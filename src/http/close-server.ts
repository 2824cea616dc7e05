/** Closes a server after its current requests. */
import type { Server } from 'node:http'
import type { Server as TlsServer } from 'node:https'

const IDLE_CHECK_INTERVAL_MS = 25

/**
 * Stops accepting connections and waits until all requests are answered. After `timeoutMs` it closes the remaining
 * connections.
 */
export async function closeServer(server: Server | TlsServer, timeoutMs: number): Promise<void> {
  // close() ends only the connections that are idle at that moment; those that become idle later would stay open for
  // a minute.
  const idleCheck = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_INTERVAL_MS)
  const timer = setTimeout(() => server.closeAllConnections(), timeoutMs)
  await new Promise<void>((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })
  clearInterval(idleCheck)
  clearTimeout(timer)
}

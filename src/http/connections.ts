/**
 * Connections: bounded in all and for each address. When there is no room, one without a request is closed: the oldest of the
 * address that has the most.
 */
import type { Server as HttpServer } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import { addressKey } from './address-key.ts'

export interface ConnectionLimits {
  readonly total: number
  readonly perAddress: number
  /** Reverse proxies carry the requests of many: their share is not bounded. */
  readonly isTrustedProxy: (address: string) => boolean
  /** Told about each connection that was closed for want of room. */
  readonly onClosed: (reason: 'address' | 'total') => void
}

interface Connection {
  readonly socket: Socket
  readonly end: string
  readonly key: string
  requests: number
}

/** Applies the limits to a server, from now on. */
export function limitConnections(server: HttpServer | HttpsServer, limits: ConnectionLimits): void {
  /** By remote end: the socket of a TLS session is another object than the connection's. */
  const connections = new Map<string, Connection>()
  /** Per address, in the order in which they came. */
  const byAddress = new Map<string, Set<Connection>>()

  server.on('connection', (socket: Socket) => {
    const { remoteAddress = '' } = socket
    const key = addressKey(remoteAddress)
    const own = byAddress.get(key) ?? new Set()
    const isProxy = limits.isTrustedProxy(remoteAddress)
    if (!isProxy && own.size >= limits.perAddress && !closeOneOf(own)) {
      limits.onClosed('address')
      socket.destroy()
      return
    }
    if (connections.size >= limits.total && !makeRoom()) {
      limits.onClosed('total')
      socket.destroy()
      return
    }
    const end = remoteEnd(socket)
    const connection: Connection = { socket, end, key, requests: 0 }
    connections.set(end, connection)
    byAddress.set(key, own.add(connection))
    socket.once('close', () => forget(connection))
  })

  server.on('request', (request, response) => {
    const connection = connections.get(remoteEnd(request.socket))
    if (connection === undefined) return
    connection.requests += 1
    response.once('close', () => {
      connection.requests -= 1
    })
  })

  function forget(connection: Connection): void {
    if (connections.get(connection.end) === connection) connections.delete(connection.end)
    const own = byAddress.get(connection.key)
    own?.delete(connection)
    if (own?.size === 0) byAddress.delete(connection.key)
  }

  function closeOneOf(own: Iterable<Connection>): boolean {
    for (const connection of own) {
      if (connection.requests > 0) continue
      forget(connection)
      connection.socket.destroy()
      return true
    }
    return false
  }

  function makeRoom(): boolean {
    const largestFirst = [...byAddress.values()].sort((a, b) => b.size - a.size)
    return largestFirst.some((own) => closeOneOf(own))
  }
}

function remoteEnd({ remoteAddress = '', remotePort = 0 }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

/**
 * Limits the number of connections, in total and per address. At a limit, a connection without a request is closed:
 * the oldest one of the address with the most connections.
 */
import type { Server as HttpServer } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Server as NetServer, Socket } from 'node:net'
import { createRecentValues } from '../base/recent-values.ts'
import { addressKey } from '../limits/address-key.ts'

/** The limit that closed a connection. */
export type ClosingReason = 'address' | 'total' | 'shut_out' | 'pipelined'

export interface ConnectionLimits {
  readonly total: number
  readonly perAddress: number
  /** The limit per address does not apply to reverse proxies, because they carry the requests of many clients. */
  readonly isTrustedProxy: (address: string) => boolean
  /** Called for each connection that a limit closed. */
  readonly onClosed: (reason: ClosingReason) => void
}

export interface LimitedConnections {
  /**
   * Closes an abusive connection and all idle connections of the same address, and refuses new ones from there for a
   * few seconds. For a reverse proxy it closes only the connection itself.
   */
  shutOut(socket: Socket): void
}

const SHUT_OUT_MS = 5000
const MAX_SHUT_OUT = 10_000

/** Applies the limits to all future connections of an HTTP server. */
export function limitConnections(
  server: HttpServer | HttpsServer,
  limits: ConnectionLimits,
): LimitedConnections {
  const limited = limitAnyConnections(server, limits)
  server.on('request', ({ socket }, response) => {
    response.once('close', limited.requestOn(socket))
  })
  return limited
}

/** Applies the limits to all future connections of a server of any protocol, which reports the requests itself. */
export function limitAnyConnections(
  server: NetServer,
  limits: ConnectionLimits,
): LimitedConnections & Pick<Register, 'requestOn'> {
  const register = createRegister()
  const shutOut = createRecentValues<true>(MAX_SHUT_OUT, SHUT_OUT_MS)

  /** Returns why a new connection from this address must be refused; undefined if it is accepted. */
  const refusalOf = (address: string): ClosingReason | undefined => {
    const key = addressKey(address)
    if (shutOut.has(key)) return 'shut_out'
    const isBounded = !limits.isTrustedProxy(address)
    if (isBounded && register.count(key) >= limits.perAddress && !register.closeIdle(key))
      return 'address'
    return register.size >= limits.total && !register.closeIdleOfLargest() ? 'total' : undefined
  }

  server.on('connection', (socket: Socket) => {
    const { remoteAddress = '' } = socket
    const refusal = refusalOf(remoteAddress)
    if (refusal === undefined) register.add(socket, addressKey(remoteAddress))
    else {
      limits.onClosed(refusal)
      socket.destroy()
    }
  })

  return {
    requestOn: (socket) => register.requestOn(socket),
    shutOut(socket) {
      const { remoteAddress = '' } = socket
      const key = addressKey(remoteAddress)
      socket.destroy()
      limits.onClosed('shut_out')
      if (limits.isTrustedProxy(remoteAddress)) return
      shutOut.set(key, true)
      while (register.closeIdle(key)) limits.onClosed('shut_out')
    },
  }
}

interface Connection {
  readonly socket: Socket
  readonly end: RemoteEnd
  readonly key: string
  requests: number
}

/** The open connections. */
interface Register {
  readonly size: number
  count(key: string): number
  add(socket: Socket, key: string): void
  /** Notes the start of a request on a connection, and returns the function that notes its end. */
  requestOn(socket: Socket): () => void
  /** Closes the oldest connection of an address without a request. Returns false if there is none. */
  closeIdle(key: string): boolean
  /** Does the same for the address with the most connections, among those that have an idle one. */
  closeIdleOfLargest(): boolean
}

function createRegister(): Register {
  /** Keyed by remote end, because the socket of a TLS session is not the socket of the connection. */
  const connections = new Map<RemoteEnd, Connection>()
  /** Connections of each address, oldest first. */
  const byAddress = new Map<string, Set<Connection>>()

  const forget = (connection: Connection): void => {
    if (connections.get(connection.end) === connection) connections.delete(connection.end)
    const own = byAddress.get(connection.key)
    own?.delete(connection)
    if (own?.size === 0) byAddress.delete(connection.key)
  }
  const closeIdle = (key: string): boolean => {
    for (const connection of byAddress.get(key) ?? []) {
      if (connection.requests > 0) continue
      forget(connection)
      connection.socket.destroy()
      return true
    }
    return false
  }
  return {
    get size() {
      return connections.size
    },
    count: (key) => byAddress.get(key)?.size ?? 0,
    add(socket, key) {
      const connection = { socket, end: remoteEnd(socket), key, requests: 0 }
      connections.set(connection.end, connection)
      const ofAddress = byAddress.get(key) ?? new Set()
      byAddress.set(key, ofAddress.add(connection))
      socket.once('close', () => forget(connection))
    },
    requestOn(socket) {
      const connection = connections.get(remoteEnd(socket))
      if (connection === undefined) return () => undefined
      connection.requests += 1
      return () => {
        connection.requests -= 1
      }
    },
    closeIdle,
    closeIdleOfLargest() {
      const largestFirst = [...byAddress.entries()].sort(([, a], [, b]) => b.size - a.size)
      return largestFirst.some(([key]) => closeIdle(key))
    },
  }
}

/**
 * Identifies a connection: address and port of its client, or the socket itself for a Unix socket, whose clients have
 * neither.
 */
type RemoteEnd = string | Socket

function remoteEnd(socket: Socket): RemoteEnd {
  const { remoteAddress, remotePort } = socket
  return remoteAddress === undefined ? socket : `${remoteAddress} ${remotePort}`
}

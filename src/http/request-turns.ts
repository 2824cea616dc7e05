/**
 * Requests are handed to the application a few in each turn of the event loop, of each client in turn: a thousand that come at
 * once from one address would else all be begun before the one of another address is even read.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { problemText } from './malformed.ts'

/** Measured with 1,200 requests at once: p99 of another address x 4 with 2, x 9 with 8, x 17 with 16 or without turns. */
const REQUESTS_A_TURN = 2
/** Clients that send requests without waiting for answers (RFC 9112 section 9.3.2) have a few under way. */
const MAX_WAITING_PER_CONNECTION = 64

interface Waiting {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/**
 * A listener that hands each request to `app` when its turn comes; never in the turn of the event loop in which it was read, so
 * that a flood of chunks behind its headers is seen before anything is done.
 *
 * @param clientOf what the client of a request is known by
 * @param onRefused told about each connection on which too many requests wait
 */
export function handInTurns(
  app: RequestListener,
  clientOf: (request: IncomingMessage) => string,
  onRefused: () => void = () => undefined,
): RequestListener {
  /** Of each client that waits; the one whose turn is next comes first. */
  const queues = new Map<string, Set<Waiting>>()
  const waitingOn = new WeakMap<Socket, number>()
  let isScheduled = false

  const takeNext = (): Waiting | undefined => {
    for (const [client, queue] of queues) {
      queues.delete(client)
      for (const next of queue) {
        queue.delete(next)
        const { socket } = next.request
        waitingOn.set(socket, (waitingOn.get(socket) ?? 1) - 1)
        if (socket.destroyed) continue
        if (queue.size > 0) queues.set(client, queue)
        return next
      }
    }
    return undefined
  }

  const turn = (): void => {
    isScheduled = false
    for (let handed = 0; handed < REQUESTS_A_TURN; handed += 1) {
      const next = takeNext()
      if (next === undefined) return
      // Before the request is handed over, whose failure must not stop the others.
      if (queues.size > 0) schedule()
      app(next.request, next.response)
    }
  }
  const schedule = (): void => {
    if (isScheduled) return
    isScheduled = true
    setImmediate(turn)
  }

  return (request, response) => {
    const { socket } = request
    const waiting = waitingOn.get(socket) ?? 0
    // One was refused, whose answer ends the connection: those behind it get none.
    if (waiting === Infinity) return
    if (waiting >= MAX_WAITING_PER_CONNECTION) {
      waitingOn.set(socket, Infinity)
      onRefused()
      refuse(response)
      return
    }
    waitingOn.set(socket, waiting + 1)
    const client = clientOf(request)
    const queue = queues.get(client) ?? new Set()
    queues.set(client, queue.add({ request, response }))
    schedule()
  }
}

/** Too many requests wait on this connection. */
function refuse(response: ServerResponse): void {
  const body = problemText({
    code: 'limit_reached',
    status: 429,
    title: 'Too Many Requests',
    detail: `more than ${MAX_WAITING_PER_CONNECTION} requests wait on one connection: read answers before you send more`,
    check: 'pipelined_requests',
  })
  response
    .writeHead(429, {
      'Content-Type': 'application/problem+json',
      'Content-Length': Buffer.byteLength(body),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      'Retry-After': '1',
      Connection: 'close',
    })
    .end(body)
}

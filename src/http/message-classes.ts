/**
 * The classes of requests and responses that the server makes, because a few bytes can cost Node far more than they are worth, and
 * all that comes with one read of a socket is parsed before anybody can close the connection:
 *
 * - 64 KiB of requests of 30 bytes are two thousand requests and responses. Here the connection ends at the first one too many.
 * - 64 KiB of chunks of one byte are ten thousand objects. Here what arrives of a body while nobody reads it is one buffer.
 *
 * And Express changes the prototypes of both classes for each request, after which V8 looks every property up the slow way: a
 * fifth of the time that a request needs of the event loop. Here they are the right ones already, and setting them again costs
 * nothing.
 */
import {
  IncomingMessage,
  type RequestListener,
  type ServerOptions,
  ServerResponse,
} from 'node:http'
import type { Socket } from 'node:net'
import type { Express } from 'express'
import { type ByteCollector, createByteCollector } from './byte-collector.ts'

/** So many chunks that nobody reads are no accident: the parser spends a thousand times on them what the bytes are worth. */
const MAX_HELD_CHUNKS = 4096
/** Requests on one connection that are not answered: clients that send them ahead at all have a few. */
export const MAX_OPEN_REQUESTS = 16

export interface MessageBounds {
  /** How many requests of a connection are not answered. */
  readonly openRequests: (socket: Socket) => number
  /** Told about a connection that has too many, and ends. */
  readonly onRequestFlood: () => void
  /** Told about a request whose body comes in thousands of tiny chunks. */
  readonly onChunkFlood: (request: IncomingMessage) => void
}

/** What `createServer` makes its messages of, for an Express application or another listener. */
export function messageClassesOf(
  listener: RequestListener | Express,
  bounds: MessageBounds,
): Pick<ServerOptions, 'IncomingMessage' | 'ServerResponse'> {
  class BoundedRequest extends IncomingMessage {
    #held: ByteCollector | undefined
    #heldChunks = 0
    #isOver = false

    constructor(socket: Socket) {
      super(socket)
      if (bounds.openRequests(socket) < MAX_OPEN_REQUESTS) return
      bounds.onRequestFlood()
      stopParsing(this)
      socket.destroy()
    }

    /** Called by the HTTP parser for each chunk, and with null at the end. False makes it stop reading from the socket. */
    override push(chunk: unknown, encoding?: BufferEncoding): boolean {
      const isWanted = this.readableFlowing === true || this.listenerCount('readable') > 0
      if (chunk instanceof Uint8Array && !isWanted) {
        this.#heldChunks += 1
        if (this.#heldChunks === MAX_HELD_CHUNKS) bounds.onChunkFlood(this)
        if (this.#heldChunks >= MAX_HELD_CHUNKS) return false
        this.#held ??= createByteCollector()
        this.#held.append(chunk)
        return false
      }
      if (chunk === null && this.#held !== undefined) {
        this.#isOver = true
        return false
      }
      return super.push(chunk, encoding)
    }

    /** Called by the stream when somebody wants to read. */
    override _read(size: number): void {
      const held = this.#held
      this.#held = undefined
      if (held !== undefined) super.push(held.bytes())
      if (held !== undefined && this.#isOver) super.push(null)
      // oxlint-disable-next-line no-underscore-dangle -- the name is the stream's
      super._read(size)
    }
  }
  class Response<Request extends IncomingMessage> extends ServerResponse<Request> {}
  if ('request' in listener) {
    Object.setPrototypeOf(BoundedRequest.prototype, listener.request)
    Object.setPrototypeOf(Response.prototype, listener.response)
    Object.assign(listener, { request: BoundedRequest.prototype, response: Response.prototype })
  }
  return { IncomingMessage: BoundedRequest, ServerResponse: Response }
}

/**
 * Makes Node take a request for the beginning of another protocol, behind which it parses nothing. There is no other way to stop
 * it within what it has read already, not even the end of the connection.
 */
function stopParsing(request: IncomingMessage): void {
  Object.defineProperty(request, 'upgrade', { get: () => true, set() {} })
}

/**
 * The classes of requests and responses that the server creates. They exist because a few bytes can cost Node a lot,
 * and Node parses everything from one read of a socket before the connection can be closed:
 *
 * - 64 KiB of requests of 30 bytes are two thousand requests and responses. These classes end the connection at the
 *   first one too many.
 * - 64 KiB of chunks of one byte are ten thousand objects. These classes collect a body that is not read yet in one
 *   buffer.
 *
 * In addition, Express changes the prototypes of both objects for each request, after which V8 uses its slow property
 * lookup: a fifth of the event loop time of a request. These classes already have the prototypes of Express, so
 * setting them again costs nothing.
 */
import { IncomingMessage, type RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Express } from 'express'
import { type ByteCollector, createByteCollector } from './byte-collector.ts'

/** More unread chunks than this are an attack: parsing them costs a thousand times more than the bytes alone. */
const MAX_HELD_CHUNKS = 4096
/** Maximum number of unanswered requests on a connection. Clients that use pipelining have only a few. */
export const MAX_OPEN_REQUESTS = 16

export interface MessageBounds {
  /** Returns the number of unanswered requests on a connection. */
  readonly openRequests: (socket: Socket) => number
  /** Called when a connection is closed because it has too many. */
  readonly onRequestFlood: () => void
  /** Called for a request whose body consists of thousands of tiny chunks. */
  readonly onChunkFlood: (request: IncomingMessage) => void
}

/** Returns the message classes for `createServer`, for an Express application or another listener. */
export function messageClassesOf(
  listener: RequestListener | Express,
  bounds: MessageBounds,
): MessageClasses {
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

    /**
     * The HTTP parser calls this for each chunk, and with null at the end. The result false makes it stop reading
     * from the socket.
     */
    override push(chunk: unknown, encoding?: BufferEncoding): boolean {
      const isBeingRead = this.readableFlowing === true || this.listenerCount('readable') > 0
      if (chunk instanceof Uint8Array && !isBeingRead) {
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

    /** The stream calls this when a consumer starts to read. */
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
  const classes = { IncomingMessage: BoundedRequest, ServerResponse: Response }
  useMessageClasses(classes, listener)
  return classes
}

/** Gives the classes to another Express application, which then gets all requests of the server. */
export function useMessageClasses(
  { IncomingMessage: BoundedRequest, ServerResponse: Response }: MessageClasses,
  listener: RequestListener | Express,
): void {
  if (!('request' in listener)) return
  Object.setPrototypeOf(BoundedRequest.prototype, listener.request)
  Object.setPrototypeOf(Response.prototype, listener.response)
  Object.assign(listener, { request: BoundedRequest.prototype, response: Response.prototype })
}

/** The classes of a server's messages, for `createServer`. */
export interface MessageClasses {
  readonly IncomingMessage: typeof IncomingMessage
  readonly ServerResponse: typeof ServerResponse
}

/**
 * Makes Node treat a request as a protocol upgrade, after which it parses nothing more. Nothing else stops the parser
 * inside data that was already read, not even closing the connection.
 */
function stopParsing(request: IncomingMessage): void {
  Object.defineProperty(request, 'upgrade', { get: () => true, set() {} })
}

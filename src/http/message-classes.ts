/**
 * The classes of requests and responses that the server makes.
 *
 * Express changes the prototypes of both for each request, after which V8 looks every property up the slow way: a fifth of the
 * time that a request needs of the event loop. With these classes the prototypes are the right ones already, and setting
 * them again costs nothing.
 *
 * A request also keeps what arrives of its body while nobody reads it as one buffer. Node would keep each chunk as an object of
 * its own: 64 KiB of chunks of one byte, which come with one read of the socket, would cost megabytes.
 */
import {
  IncomingMessage,
  type RequestListener,
  type ServerOptions,
  ServerResponse,
} from 'node:http'
import type { Express } from 'express'
import { type ByteCollector, createByteCollector } from './byte-collector.ts'

/** So many chunks that nobody reads are no accident: the parser spends a thousand times on them what the bytes are worth. */
const MAX_HELD_CHUNKS = 4096

/**
 * What `createServer` makes its messages of. Other listeners than Express applications get Node's own classes.
 *
 * @param onChunkFlood told about a request whose body comes in thousands of tiny chunks
 */
export function messageClassesOf(
  listener: RequestListener | Express,
  onChunkFlood: (request: IncomingMessage) => void,
): Pick<ServerOptions, 'IncomingMessage' | 'ServerResponse'> {
  if (!('request' in listener)) return {}
  class ExpressRequest extends IncomingMessage {
    #held: ByteCollector | undefined
    #heldChunks = 0
    #isOver = false

    /** Called by the HTTP parser for each chunk, and with null at the end. False makes it stop reading from the socket. */
    override push(chunk: unknown, encoding?: BufferEncoding): boolean {
      const isWanted = this.readableFlowing === true || this.listenerCount('readable') > 0
      if (chunk instanceof Uint8Array && !isWanted) {
        this.#heldChunks += 1
        if (this.#heldChunks === MAX_HELD_CHUNKS) onChunkFlood(this)
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
  class ExpressResponse<Request extends IncomingMessage> extends ServerResponse<Request> {}
  Object.setPrototypeOf(ExpressRequest.prototype, listener.request)
  Object.setPrototypeOf(ExpressResponse.prototype, listener.response)
  Object.assign(listener, {
    request: ExpressRequest.prototype,
    response: ExpressResponse.prototype,
  })
  return { IncomingMessage: ExpressRequest, ServerResponse: ExpressResponse }
}

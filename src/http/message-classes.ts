/**
 * The classes of requests and responses that the server makes.
 *
 * Express changes the prototypes of both for each request, after which V8 looks every property up the slow way: a fifth of the
 * time that a request needs of the event loop. With these classes the prototypes are the right ones already, and setting
 * them again costs nothing.
 *
 * A request also keeps the part of its body that arrives before anybody asks for it as one buffer. Node would keep each chunk as
 * an object of its own: 64 KiB of chunks of one byte, which come with one read of the socket, would cost megabytes.
 */
import {
  IncomingMessage,
  type RequestListener,
  type ServerOptions,
  ServerResponse,
} from 'node:http'
import type { Express } from 'express'
import { type ByteCollector, createByteCollector } from './byte-collector.ts'

/** What `createServer` makes its messages of. Other listeners than Express applications get Node's own classes. */
export function messageClassesOf(
  listener: RequestListener | Express,
): Pick<ServerOptions, 'IncomingMessage' | 'ServerResponse'> {
  if (!('request' in listener)) return {}
  class ExpressRequest extends IncomingMessage {
    #early: ByteCollector | undefined
    #endedEarly = false
    #isRead = false

    /** Called by the HTTP parser for each chunk, and with null at the end. False makes it stop reading from the socket. */
    override push(chunk: unknown, encoding?: BufferEncoding): boolean {
      const isEarly = !this.#isRead && (chunk instanceof Uint8Array || this.#early !== undefined)
      if (!isEarly) return super.push(chunk, encoding)
      if (chunk instanceof Uint8Array) {
        this.#early ??= createByteCollector()
        this.#early.append(chunk)
      } else this.#endedEarly = true
      return false
    }

    /** Called by the stream when somebody wants to read. */
    override _read(size: number): void {
      const early = this.#isRead ? undefined : this.#early
      this.#isRead = true
      this.#early = undefined
      if (early !== undefined) super.push(early.bytes())
      if (early !== undefined && this.#endedEarly) super.push(null)
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

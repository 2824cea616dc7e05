/**
 * Requests and responses that are born as Express wants them. Express changes the prototypes of both for each request, after which
 * V8 looks every property up the slow way: a fifth of the time that a request needs of the event loop. With these classes the
 * prototypes are the wanted ones already, and setting them again is nothing.
 */
import {
  IncomingMessage,
  type RequestListener,
  type ServerOptions,
  ServerResponse,
} from 'node:http'
import type { Express } from 'express'

/** What `createServer` is to make its messages of; nothing special for listeners that are no Express application. */
export function messageClassesOf(
  listener: RequestListener | Express,
): Pick<ServerOptions, 'IncomingMessage' | 'ServerResponse'> {
  if (!('request' in listener)) return {}
  class ExpressRequest extends IncomingMessage {}
  class ExpressResponse<Request extends IncomingMessage> extends ServerResponse<Request> {}
  Object.setPrototypeOf(ExpressRequest.prototype, listener.request)
  Object.setPrototypeOf(ExpressResponse.prototype, listener.response)
  Object.assign(listener, {
    request: ExpressRequest.prototype,
    response: ExpressResponse.prototype,
  })
  return { IncomingMessage: ExpressRequest, ServerResponse: ExpressResponse }
}

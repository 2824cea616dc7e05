/** What every request gets: an id, a logger, a deadline, a place among those under way; and its bearer token. */
import { randomUUID } from 'node:crypto'
import { isIP } from 'node:net'
import type { NextFunction, Request, RequestHandler, Response } from 'express'
import { TtsError } from '../errors.ts'
import { redactText } from '../redact.ts'
import type { Activity } from '../domain/activity.ts'
import type { Origin } from '../domain/records.ts'
import type { RateLimiter } from '../domain/rate-limiter.ts'
import type { Metrics } from '../metrics.ts'
import type { Logger } from 'pino'

export interface RequestContext {
  readonly id: string
  readonly log: Logger
  readonly origin: Origin
  /** Ends at the request's deadline, or when the client goes away. */
  readonly signal: AbortSignal
}

export interface RequestOptions {
  readonly log: Logger
  readonly metrics: Metrics
  readonly addresses: RateLimiter
  readonly activity: Activity
  readonly requestsInFlight: number
  readonly timeoutMs: number
  /** True once the service is stopping. */
  readonly stopping: () => boolean
}

/** The context that `requestContext` gave this request. */
export function contextOf(response: Response): RequestContext {
  return response.locals['context'] as RequestContext
}

const MAX_TOKEN_LENGTH = 16 * 1024

/** Middleware: context, access log, metrics, and the bounds on how many requests are taken. */
export function requestContext(options: RequestOptions): RequestHandler {
  const { activity } = options
  return function requestContext(request, response, next) {
    const started = performance.now()
    const id = requestId(request)
    const origin: Origin = { requestId: id, address: clientAddress(request), interface: 'native' }
    const log = options.log.child({ request: id })
    response.locals['context'] = lazyContext({ id, log, origin }, response, options.timeoutMs)
    response.setHeader('X-Request-Id', id)
    // A client that keeps its connection would hold up the shutdown.
    if (options.stopping()) response.setHeader('Connection', 'close')
    activity.begin()
    response.once('close', () => {
      activity.end()
      const seconds = (performance.now() - started) / 1000
      finish(request, response, { options, log, address: origin.address, seconds })
    })
    checkBounds(options, {
      inFlight: activity.inFlight,
      address: origin.address,
      path: request.path,
    })
    next()
  }
}

/** X-Forwarded-For of a trusted proxy may hold anything that its client sent; only an address goes on record. */
function clientAddress({ ip }: Request): string {
  return ip !== undefined && isIP(ip) !== 0 ? ip : 'unknown'
}

function checkBounds(
  options: RequestOptions,
  request: { readonly inFlight: number; readonly address: string; readonly path: string },
): void {
  // Probes must be answered when the service is busy: else it is restarted for being busy.
  if (['/healthz', '/readyz', '/metrics'].includes(request.path)) return
  if (options.stopping())
    throw new TtsError('shutting_down', 'the service is stopping', { retryAfterSeconds: 5 })
  if (request.inFlight > options.requestsInFlight) {
    throw new TtsError('overloaded', 'too many requests are under way', {
      check: 'in_flight',
      remedy: 'limits.requests_in_flight',
      retryAfterSeconds: 1,
    })
  }
  const retryAfterSeconds = options.addresses.take(addressKey(request.address))
  if (retryAfterSeconds > 0) {
    throw new TtsError('limit_reached', 'too many requests from your address', {
      check: 'address_rate',
      remedy: 'limits.requests_per_second_per_address',
      retryAfterSeconds,
    })
  }
}

/** An id given by a proxy in front is kept when it is harmless, so that one id goes through all logs. */
function requestId(request: Request): string {
  const given = request.get('x-request-id')
  return given !== undefined && /^[A-Za-z0-9._-]{8,64}$/.test(given) ? given : randomUUID()
}

/** The signal costs a timer, which only requests that wait for somebody need: made at first use. */
function lazyContext(
  fixed: Omit<RequestContext, 'signal'>,
  response: Response,
  timeoutMs: number,
): RequestContext {
  let controller: AbortController | undefined
  return {
    ...fixed,
    get signal() {
      if (controller === undefined) {
        const made = new AbortController()
        const timer = setTimeout(
          () => made.abort(new DOMException('the deadline has passed', 'TimeoutError')),
          timeoutMs,
        )
        response.once('close', () => {
          clearTimeout(timer)
          if (!response.writableFinished) made.abort()
        })
        controller = made
      }
      return controller.signal
    },
  }
}

function finish(
  request: Request,
  response: Response,
  done: {
    readonly options: RequestOptions
    readonly log: Logger
    readonly address: string
    readonly seconds: number
  },
): void {
  const { options, log, address, seconds } = done
  const route = typeof response.locals['route'] === 'string' ? response.locals['route'] : 'other'
  const status = response.writableFinished ? response.statusCode : 499
  options.metrics.requestDone({ route, method: knownMethod(request.method), status, seconds })
  if (route === 'probe') return
  // The path alone: a query may hold what must not be in a log.
  const fields = {
    event: 'http.request',
    method: request.method,
    path: loggedPath(request.path),
    status,
  }
  log.info({ ...fields, ms: Math.round(seconds * 10_000) / 10, address }, 'request')
}

/** Longer than any path of ours: perhaps a token that was pasted into the URL. */
const MAX_PATH_LENGTH = 64

/** Signed requests of relying services are secrets, whatever they look like. */
const RELYING_PATH = /^\/+rsp\/+(?!(request|login|download)\/*$)/i

function loggedPath(path: string): string {
  if (RELYING_PATH.test(path)) return '/rsp/[token]'
  return path.length <= MAX_PATH_LENGTH ? path : redactText(path).slice(0, 200)
}

function knownMethod(method: string): string {
  return ['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS', 'PUT', 'PATCH'].includes(method)
    ? method
    : 'other'
}

/** IPv6 clients own a /64 and may come from each of its addresses. */
export function addressKey(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '')
  if (!plain.includes(':')) return plain
  const [head = '', tail = ''] = plain.split('::')
  const front = head === '' ? [] : head.split(':')
  const back = tail === '' ? [] : tail.split(':')
  const middle = plain.includes('::')
    ? Array.from({ length: 8 - front.length - back.length }, () => '0')
    : []
  return [...front, ...middle, ...back].slice(0, 4).join(':')
}

/**
 * The bearer token of a request: exactly one, in the Authorization header (RFC 6750 section 2.1). Tokens in the query
 * or a form are not taken: they end up in logs.
 *
 * @throws {TtsError} `missing_token`, `invalid_request`, `invalid_token`
 */
export function bearerToken(request: Request): string {
  const headers = request.headersDistinct['authorization'] ?? []
  const [header] = headers
  if (headers.length > 1) {
    throw new TtsError('invalid_request', 'send one Authorization header', {
      check: 'authorization',
    })
  }
  if ('access_token' in request.query) {
    throw new TtsError(
      'invalid_request',
      'send the access token in the Authorization header, not in the URL',
      {
        check: 'authorization',
      },
    )
  }
  if (header === undefined) {
    throw new TtsError('missing_token', 'send an access token: Authorization: Bearer TOKEN', {
      check: 'authorization',
    })
  }
  // Sizes are bounded before anything looks inside (Fulcio's CVE-2025-66506).
  if (header.length > MAX_TOKEN_LENGTH) {
    throw new TtsError(
      'invalid_token',
      `the Authorization header is over ${MAX_TOKEN_LENGTH} characters`,
      { check: 'size' },
    )
  }
  const [, scheme = '', token = ''] = /^(\S+) +(\S+) *$/.exec(header) ?? []
  if (scheme.toLowerCase() !== 'bearer' || token === '') {
    throw new TtsError('missing_token', 'the Authorization header is not "Bearer TOKEN"', {
      check: 'authorization',
    })
  }
  return token
}

/** Names the route for metrics and logs: a fixed text, never a part of the path. */
export function routeName(name: string): RequestHandler {
  return function routeName(_request: Request, response: Response, next: NextFunction) {
    response.locals['route'] = name
    next()
  }
}

/** Gives every request an id, a logger, a deadline and admission within the limits; and reads its bearer token. */
import { randomUUID } from 'node:crypto'
import { isIP } from 'node:net'
import type { NextFunction, Request, RequestHandler, Response } from 'express'
import { TtsError } from '../base/errors.ts'
import { beginServerSpan } from '../base/spans.ts'
import type { Origin } from '../domain/records.ts'
import type { RateLimiter } from '../limits/rate-limiter.ts'
import { addressKey } from '../limits/address-key.ts'
import { hasBody } from '../http/request-body.ts'
import { hasMalformedTarget } from '../http/request-target.ts'
import type { AdmittedRequest, RequestsInFlight } from '../http/requests-in-flight.ts'
import type { Metrics } from '../service/metrics.ts'
import { tokenTooLong } from '../tokens/jwt.ts'
import { loggedPath } from './logged-path.ts'
import type { Logger } from 'pino'

export interface RequestContext {
  readonly id: string
  readonly log: Logger
  readonly origin: Origin
  /** Ends at the request's deadline, or when the client goes away. */
  readonly signal: AbortSignal
  readonly admitted: AdmittedRequest
  /** Time that the client has to send its body, from the moment the service starts to read it. */
  readonly bodyTimeoutMs: number
  readonly maxTokenBytes: number
}

export interface RequestOptions {
  readonly log: Logger
  readonly metrics: Metrics
  /** Rate of requests, by address. */
  readonly addresses: RateLimiter
  /** Rate of requests to the probes, by address. */
  readonly probes: RateLimiter
  readonly inFlight: RequestsInFlight
  readonly timeoutMs: number
  readonly bodyTimeoutMs: number
  readonly maxTokenBytes: number
  /** True once the service is stopping. */
  readonly stopping: () => boolean
  /** Ids of providers and services, which may be logged. */
  readonly configuredIds: ReadonlySet<string>
}

/** Returns the context that `requestContext` created for this request. */
export function contextOf(response: Response): RequestContext {
  return response.locals['context'] as RequestContext
}

/**
 * Returns the middleware that adds context, access log and metrics, and enforces the limits on the number of requests.
 */
export function requestContext(options: RequestOptions): RequestHandler {
  return function requestContext(request, response, next) {
    const started = performance.now()
    const id = requestId(request)
    const origin: Origin = { requestId: id, address: clientAddress(request), interface: 'native' }
    const log = options.log.child({ request: id })
    let admitted = notAdmitted
    const fixed = {
      id,
      log,
      origin,
      bodyTimeoutMs: options.bodyTimeoutMs,
      maxTokenBytes: options.maxTokenBytes,
    }
    response.locals['context'] = lazyContext(fixed, response, {
      timeoutMs: options.timeoutMs,
      admitted: () => admitted,
    })
    const span = beginServerSpan(request.headers, { 'tts.request_id': id })
    response.setHeader('X-Request-Id', id)
    // An open connection would delay the shutdown. And Node would read an unread body to its end, to reuse the
    // connection.
    if (options.stopping() || hasBody(request)) response.setHeader('Connection', 'close')
    response.once('close', () => {
      admitted.release()
      const seconds = (performance.now() - started) / 1000
      const { method, route, status } = finish(request, response, {
        options,
        log,
        address: origin.address,
        seconds,
      })
      span?.end({
        name: `${method} ${route}`,
        isFault: status >= 500,
        'http.request.method': method,
        'http.route': route,
        'http.response.status_code': status,
      })
    })
    admitted = admit(options, { address: origin.address, path: request.path })
    dropUnreadAnswer(response, admitted)
    requireUsable(request)
    if (span === undefined) next()
    else span.run(() => next())
  }
}

/** @throws {TtsError} `invalid_request`, `expectation_failed` */
function requireUsable(request: Request): void {
  if (hasMalformedTarget(request)) {
    throw new TtsError('invalid_request', 'the request target is not a valid URL', {
      check: 'target',
    })
  }
  const { expect } = request.headers
  if (expect === undefined || expect.toLowerCase() === '100-continue') return
  throw new TtsError('expectation_failed', 'the header Expect must be 100-continue or absent', {
    check: 'expect',
  })
}

/** For probes, and for requests that are refused before admission. */
const notAdmitted: AdmittedRequest = { waiting: () => () => undefined, release: () => undefined }

/** Drops a client that does not read its answer: until it does, the request keeps its place in the limits. */
function dropUnreadAnswer(response: Response, admitted: AdmittedRequest): void {
  response.once('prefinish', () => {
    // The kernel has the whole answer.
    if (response.writableLength === 0) return
    response.socket?.setTimeout(UNREAD_ANSWER_MS)
    admitted.waiting(() => response.destroy())
  })
}

/** Time that a client may read nothing of its answer. */
const UNREAD_ANSWER_MS = 30_000

/** X-Forwarded-For of a trusted proxy may contain any text that its client sent. Only a valid address is recorded. */
function clientAddress({ ip }: Request): string {
  return ip !== undefined && isIP(ip) !== 0 ? ip : 'unknown'
}

const PROBES: readonly string[] = ['/healthz', '/readyz', '/metrics']

/**
 * Admits a request within the limits of its address and of all.
 *
 * @throws {TtsError} `shutting_down`, `limit_reached`, `overloaded`
 */
export function admit(
  options: Pick<RequestOptions, 'addresses' | 'probes' | 'inFlight' | 'stopping'>,
  { address, path }: { readonly address: string; readonly path: string },
): AdmittedRequest {
  const key = addressKey(address)
  // A busy service must still answer probes, otherwise it would be restarted. Probes have a separate rate limit.
  if (PROBES.includes(path)) {
    requireRate(options.probes.take(key), 'probes_per_second_per_address')
    return notAdmitted
  }
  if (options.stopping())
    throw new TtsError('shutting_down', 'the service is stopping', { retryAfterSeconds: 5 })
  requireRate(options.addresses.take(key), 'requests_per_second_per_address')
  return options.inFlight.admit(key)
}

function requireRate(retryAfterSeconds: number, limit: string): void {
  if (retryAfterSeconds <= 0) return
  throw new TtsError('limit_reached', 'too many requests from your address', {
    check: 'address_rate',
    remedy: `Raise limits.${limit} if this client is legitimate.`,
    retryAfterSeconds,
  })
}

/**
 * Keeps the request id of a proxy in front of the service if its characters are safe, so that all logs share one id.
 */
function requestId(request: Request): string {
  const header = request.get('x-request-id')
  return header !== undefined && /^[A-Za-z0-9._-]{8,64}$/.test(header) ? header : randomUUID()
}

/** Creates the signal at first use: it costs a timer, which only requests that wait for another system need. */
function lazyContext(
  fixed: Omit<RequestContext, 'signal' | 'admitted'>,
  response: Response,
  { timeoutMs, admitted }: { readonly timeoutMs: number; readonly admitted: () => AdmittedRequest },
): RequestContext {
  let controller: AbortController | undefined
  return {
    ...fixed,
    get admitted() {
      return admitted()
    },
    get signal() {
      if (controller === undefined) {
        const created = new AbortController()
        const timer = setTimeout(
          () => created.abort(new DOMException('the deadline has passed', 'TimeoutError')),
          timeoutMs,
        )
        response.once('close', () => {
          clearTimeout(timer)
          if (!response.writableFinished) created.abort()
        })
        controller = created
      }
      return controller.signal
    },
  }
}

function finish(
  request: Request,
  response: Response,
  result: {
    readonly options: RequestOptions
    readonly log: Logger
    readonly address: string
    readonly seconds: number
  },
): { readonly method: string; readonly route: string; readonly status: number } {
  const { options, log, address, seconds } = result
  const route = typeof response.locals['route'] === 'string' ? response.locals['route'] : 'other'
  const status = response.writableFinished ? response.statusCode : 499
  const method = knownMethod(request.method)
  options.metrics.requestDone({ route, method, status, seconds })
  if (route === 'probe') return { method, route, status }
  const fields = {
    event: 'http.request',
    method,
    path: loggedPath(request.originalUrl, options.configuredIds),
    status,
    // The reason of every refusal; the audit trail may have only a sample of them.
    ...(response.locals['refusal'] as object | undefined),
  }
  log.info({ ...fields, ms: Math.round(seconds * 10_000) / 10, address }, 'request')
  return { method, route, status }
}

function knownMethod(method: string): string {
  return ['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS', 'PUT', 'PATCH'].includes(method)
    ? method
    : 'other'
}

/**
 * Returns the bearer token of a request: exactly one, in the Authorization header (RFC 6750 section 2.1). Tokens in
 * the query or in a form are refused, because they end up in logs.
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
  // The size is checked before anything parses the token (see CVE-2025-66506 of Fulcio).
  const tokenBytes = header.length - 'Bearer '.length
  const { maxTokenBytes } = contextOf(request.res as Response)
  if (tokenBytes > maxTokenBytes) throw tokenTooLong(tokenBytes, maxTokenBytes)
  const [, scheme = '', token = ''] = /^(\S+) +(\S+) *$/.exec(header) ?? []
  if (scheme.toLowerCase() !== 'bearer' || token === '') {
    throw new TtsError('missing_token', 'the Authorization header must be "Bearer TOKEN"', {
      check: 'authorization',
    })
  }
  return token
}

/** Returns middleware that names the route for metrics and logs: a fixed text, never a part of the requested path. */
export function routeName(name: string): RequestHandler {
  return function routeName(_request: Request, response: Response, next: NextFunction) {
    response.locals['route'] = name
    next()
  }
}

/**
 * The HTTP server of certcache: proxies for workers, status, health and metrics. Uses node:http directly, for speed.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { TtsError } from '../../base/errors.ts'
import { plainAddress } from '../../limits/address-key.ts'
import type { Log } from '../../base/log.ts'
import { type AccessRules, createAccessRules, type Refusal } from './access.ts'
import { restartKeys, serverProblems } from '../settings/listen-settings.ts'
import {
  type ListeningServer,
  type ListenSettings,
  startListening,
  tlsFilesOf,
} from './listening.ts'
import { createCertcacheMetrics, createTally } from './metrics.ts'
import type { ProxyEngine } from '../proxy-engine.ts'
import { createRefusalLog } from './refusal-log.ts'
import { type Route, routeOf } from './routes.ts'
import { createResponseCache, type ServedProxy } from './served-proxy.ts'
import type { CertcacheSettings } from '../settings/settings.ts'
import { findHealthProblem, reportStatus } from '../status.ts'
import { createWaiters } from './waiters.ts'

export type ServerSettings = Pick<CertcacheSettings, 'access'> & {
  readonly listen: ListenSettings
  readonly renewal: Pick<CertcacheSettings['renewal'], 'warn_below_seconds'>
}

export interface ServerOptions {
  readonly engine: ProxyEngine
  readonly settings: ServerSettings
  readonly log: Log
  readonly now: () => Date
  /** Version of the package, for /status and /metrics. */
  readonly version: string
  /** How long a request waits for the first proxy. Default 30,000. */
  readonly waitMs?: number
  /** How many requests may wait. Default 10,000. */
  readonly waitingLimit?: number
  /** How often the TLS files are checked for changes. Default 10,000. */
  readonly tlsPollMs?: number
}

/** A running server. */
export interface CertcacheServer {
  /** Where it listens: `http://127.0.0.1:8081`, or `unix:` and a path. */
  readonly url: string
  /**
   * Applies a changed secret, allow-list, client CA, or TLS files.
   *
   * @returns the changed keys that need a restart; if there are any, nothing is applied
   * @throws {TtsError} `configuration`; the old settings then stay in use
   */
  reload(settings: ServerSettings): readonly string[]
  /** Stops accepting connections, answers open requests, and ends after `timeoutMs` at the latest. */
  close(timeoutMs: number): Promise<void>
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly route: Route
}
interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly text: string
}

const WAIT_MS = 30_000
const WAITING_LIMIT = 10_000
const TEXT = 'text/plain; charset=utf-8'
const CHALLENGES = ['Bearer realm="certcache"', 'Basic realm="certcache"']
const OPEN_WARNING =
  'Anyone who can reach this port can fetch a private key and act as its owner (access.mode anyone_who_reaches_the_port).'

/**
 * Starts the server.
 *
 * @throws {TtsError} `configuration` when the settings would expose private keys, or the address is not available
 */
export async function startServer(parts: ServerOptions): Promise<CertcacheServer> {
  const server = new WorkerServer(parts)
  await server.open()
  return server
}

class WorkerServer implements CertcacheServer {
  readonly #parts: ServerOptions
  readonly #tally = createTally()
  readonly #responses
  readonly #waiters
  readonly #metrics
  readonly #logRefusal
  readonly #startedAt: Date
  #settings: ServerSettings
  #rules: AccessRules
  #listening: ListeningServer | undefined
  #stopping = false

  constructor(parts: ServerOptions) {
    const { engine, now, log, settings, version } = parts
    this.#parts = parts
    this.#settings = settings
    this.#rules = createRules(settings)
    this.#startedAt = now()
    this.#logRefusal = createRefusalLog(log, now)
    const warnBelowSeconds = (): number => this.#settings.renewal.warn_below_seconds
    this.#responses = createResponseCache({ engine, now, log, warnBelowSeconds })
    const { waitMs = WAIT_MS, waitingLimit = WAITING_LIMIT } = parts
    this.#waiters = createWaiters({ engine, waitMs, limit: waitingLimit })
    this.#metrics = createCertcacheMetrics({
      engine,
      version,
      tally: this.#tally,
      endEntityNotAfter: (name) => this.#current(name)?.endEntityNotAfter,
      waiting: () => this.#waiters.waiting,
      connections: async () => this.#listening?.connections() ?? 0,
    })
  }

  get url(): string {
    return this.#listening?.url ?? ''
  }

  async open(): Promise<void> {
    const { settings, log, tlsPollMs } = this.#parts
    this.#listening = await startListening((request, response) => this.#handle(request, response), {
      listen: settings.listen,
      clientCaFile: settings.access.client_ca_file,
      log,
      ...(tlsPollMs === undefined ? {} : { tlsPollMs }),
    })
    if (settings.access.mode === 'anyone_who_reaches_the_port')
      log.warn({ event: 'access.open', url: this.url }, OPEN_WARNING)
  }

  reload(settings: ServerSettings): readonly string[] {
    const changed = restartKeys(this.#settings, settings)
    if (changed.length > 0) return changed
    const rules = createRules(settings)
    const files = tlsFilesOf(settings.listen, settings.access.client_ca_file)
    if (files) this.#listening?.reloadTls(files)
    this.#rules = rules
    this.#settings = settings
    return []
  }

  async close(timeoutMs: number): Promise<void> {
    this.#stopping = true
    // Answer the requests that wait for a first proxy before the connections are closed.
    this.#waiters.close(timeoutMs / 2)
    await this.#listening?.close(timeoutMs)
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const exchange = { request, response, route: routeOf(request.url ?? '') }
    const { path } = exchange.route
    const refusal = this.#rules.refuseOrigin(request)
    if (refusal) return this.#refuse(exchange, refusal)
    if (path === 'other')
      return this.#send(exchange, plainText(404, 'Not found. Proxies are at /get_proxy.'))
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return this.#send(exchange, methodNotAllowed)
    if (hasBody(request))
      return this.#send(exchange, plainText(413, 'A request body is not allowed.'))
    if (path === '/health') return this.#sendHealth(exchange)
    if (path === '/metrics') return void this.#sendMetrics(exchange)
    const callerRefusal = this.#rules.refuseCaller(request)
    if (callerRefusal) return this.#refuse(exchange, callerRefusal)
    return path === '/status' ? this.#sendStatus(exchange) : this.#serveProxy(exchange)
  }

  #serveProxy(exchange: Exchange): void {
    const { engine } = this.#parts
    const name = exchange.route.name ?? engine.names[0] ?? ''
    if (!engine.names.includes(name)) {
      const names = engine.names.join(', ')
      return this.#send(exchange, plainText(404, `No proxy has this name. Available: ${names}.`))
    }
    const served = this.#current(name)
    if (served) return this.#sendProxy(exchange, served)
    const { response } = exchange
    const leave = this.#waiters.wait(name, (end) => {
      response.off('close', leave)
      const arrived = end instanceof TtsError ? undefined : this.#current(name)
      if (arrived) return this.#sendProxy(exchange, arrived)
      return this.#sendUnavailable(exchange, end instanceof TtsError ? end : undefined)
    })
    response.once('close', leave)
  }

  #current(name: string): ServedProxy | undefined {
    return this.#responses.current(name, this.#parts.now().getTime())
  }

  #sendProxy({ request, response, route }: Exchange, served: ServedProxy): void {
    const isLow = this.#parts.now().getTime() >= served.warnFromMs
    this.#tally.request(route.path, 200)
    if (this.#mustClose(request)) response.shouldKeepAlive = false
    response.writeHead(200, (isLow ? served.warningHeaders : served.headers) as string[])
    if (request.method === 'HEAD') response.end()
    else response.end(served.body, 'latin1')
  }

  #sendUnavailable(exchange: Exchange, error: TtsError | undefined): void {
    const wait = Math.min(Math.max(Math.ceil(error?.retryAfterSeconds ?? 5), 1), 300)
    const reason = error?.message ?? 'the proxy is incomplete'
    const text = `No valid proxy is available: ${reason.replace(/\.$/, '')}.`
    this.#send(exchange, plainText(503, text, { 'Retry-After': String(wait) }))
  }

  #sendHealth(exchange: Exchange): void {
    const { engine, now } = this.#parts
    const warnBelowSeconds = this.#settings.renewal.warn_below_seconds
    const problem = findHealthProblem(engine.status().proxies, { now: now(), warnBelowSeconds })
    const failure = problem && plainText(503, problem, { 'Retry-After': '30' })
    this.#send(exchange, failure || healthy)
  }

  async #sendMetrics(exchange: Exchange): Promise<void> {
    try {
      const text = await this.#metrics.metrics()
      const headers = { 'Content-Type': this.#metrics.contentType }
      this.#send(exchange, { status: 200, headers, text })
    } catch (error) {
      this.#parts.log.error({ event: 'metrics.failed', err: error }, 'cannot collect the metrics')
      this.#send(exchange, plainText(500, 'The metrics cannot be collected. See the log.'))
    }
  }

  #sendStatus(exchange: Exchange): void {
    const { engine, now, version } = this.#parts
    const { access, renewal } = this.#settings
    const { mode } = access
    const report = reportStatus({
      status: engine.status(),
      now: now(),
      warnBelowSeconds: renewal.warn_below_seconds,
      version,
      running: {
        startedAt: this.#startedAt,
        access: mode === 'anyone_who_reaches_the_port' ? { mode, warning: OPEN_WARNING } : { mode },
      },
    })
    this.#send(exchange, {
      status: 200,
      headers: { 'Content-Type': 'application/json' },
      text: `${JSON.stringify(report, undefined, 2)}\n`,
    })
  }

  #refuse(exchange: Exchange, refusal: Refusal): void {
    const { request, route } = exchange
    this.#tally.refusal(refusal.reason)
    const address = plainAddress(request.socket.remoteAddress ?? '')
    this.#logRefusal(refusal, { path: route.path, address })
    const challenge = refusal.status === 401 ? { 'WWW-Authenticate': CHALLENGES } : {}
    this.#send(exchange, plainText(refusal.status, refusal.message, challenge))
  }

  /** Whether the connection must end with this response. */
  #mustClose({ socket }: IncomingMessage): boolean {
    return this.#stopping || (this.#listening?.isOutdated(socket) ?? false)
  }

  #send({ request, response, route }: Exchange, { status, headers, text }: Answer): void {
    this.#tally.request(route.path, status)
    // On a kept-alive connection Node would read the unwanted body to its end, however long it is.
    if (this.#mustClose(request) || hasBody(request)) response.shouldKeepAlive = false
    response.writeHead(status, {
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      'Content-Length': Buffer.byteLength(text),
      ...headers,
    })
    response.end(request.method === 'HEAD' ? undefined : text)
  }
}

function plainText(status: number, sentence: string, headers: Answer['headers'] = {}): Answer {
  return { status, headers: { 'Content-Type': TEXT, ...headers }, text: `${sentence}\n` }
}

const methodNotAllowed = plainText(405, 'Only GET and HEAD are allowed.', { Allow: 'GET, HEAD' })
const healthy: Answer = { status: 200, headers: { 'Content-Type': TEXT }, text: 'OK' }

function createRules({ listen, access }: ServerSettings): AccessRules {
  const problems = serverProblems(listen, access).map(
    ({ path, message }) => `${path.join('.')}: ${message}`,
  )
  if (problems.length > 0) throw new TtsError('configuration', problems.join('; '))
  return createAccessRules(access, listen.socket !== undefined)
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

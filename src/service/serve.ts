/** `tts serve`: listens, reloads the configuration, and stops in order. */
import { join, resolve } from 'node:path'
import type { RequestListener } from 'node:http'
import type { Logger } from 'pino'
import { problemsUrl } from '../api/error-codes.ts'
import { addressKey } from '../limits/address-key.ts'
import { listen, type Listening, type ListenOptions } from '../http/server.ts'
import { trustedProxies } from '../http/trusted-proxies.ts'
import { authorityEnd } from '../files/authority-certificate.ts'
import type { AssembledService } from './compose.ts'
import type { Environment, LoadedConfiguration } from '../config/load.ts'
import { type Instance, type InstanceOptions, startInstance } from './instance.ts'
import { holdInstance, type InstanceHolder } from './reloading.ts'
import { createMetrics, type Metrics, type MetricsSources } from './metrics.ts'
import { createSampler } from '../limits/sampler.ts'
import { partOf } from '../limits/shares.ts'

/** The running service. */
export interface Running {
  readonly url: string
  /** URL of the plain listener, if there is one. */
  readonly plainUrl: string | undefined
  /** The parts under the configuration that is in use now. */
  readonly service: AssembledService
  /**
   * Continues with another configuration: new requests get the new parts, running ones finish with the old ones. Throws
   * when it cannot be used; the old one then stays in use. The listeners keep their settings.
   *
   * @throws {TtsError} `configuration`, `store_unavailable`
   */
  reload(loaded: LoadedConfiguration): Promise<void>
  /** Finishes the current requests and closes everything. May be called twice. */
  stop(): Promise<void>
}

/** The environment of a service; by default the real time and no environment variables. */
export interface ServeRuntime {
  readonly now?: (() => Date) | undefined
  readonly environment?: Environment | undefined
  /** Where refresh requests run, see `createRefreshHelper`. Default `process`. */
  readonly refreshIn?: 'process' | 'here' | undefined
}

/** How long the start waits for slow plugins. Those that take longer are ready later. */
const START_PATIENCE_MS = 5000
/** The same for a replacement: meanwhile the instance before it answers, whose plugins are ready. */
const REPLACEMENT_PATIENCE_MS = 30_000

/**
 * Starts the service.
 *
 * @throws {TtsError} `configuration`, `store_unavailable`
 */
export async function serve(
  loaded: LoadedConfiguration,
  log: Logger,
  { now = () => new Date(), ...more }: ServeRuntime = {},
): Promise<Running> {
  const end = new AbortController()
  let listenerUrl = 'http://127.0.0.1'
  let instances: InstanceHolder | undefined
  let tlsEnd: () => Date | undefined = () => undefined
  const sources = metricsSources(() => (instances?.current ?? first).service)
  const metrics = createMetrics({ ...sources, tlsEnd: () => tlsEnd() })
  const options: SharedOptions = {
    log,
    now,
    ...more,
    metrics,
    stopping: () => end.signal.aborted,
    listenerUrl: () => listenerUrl,
    onRollOver: async (outdated) => continueWithNext(outdated, instances, log),
  }
  const first = await startFirst(loaded, options)
  const listeners = await openListeners(loaded, first, { log, metrics }).catch(
    async (error: unknown) => {
      await first.retire(0)
      throw error
    },
  )
  const holder = holdInstance(first, {
    start: async (next) => startReplacement(next, options, end.signal),
    use: listeners.use,
    log,
  })
  instances = holder
  listenerUrl = listeners.url
  tlsEnd = listeners.tlsEnd
  first.watch()
  const { url, plainUrl } = listeners
  log.info({ event: 'service.started', url, plainUrl }, 'listening')
  async function stop(): Promise<void> {
    end.abort()
    log.info({ event: 'service.stopping' }, 'finishing the current requests')
    const { limits } = holder.current.service.loaded.configuration
    await Promise.all([listeners.close(limits.shutdown_seconds * 1000), holder.close()])
    log.info({ event: 'service.stopped' }, 'stopped')
  }
  let stopped: Promise<void> | undefined
  return {
    url,
    plainUrl,
    get service() {
      return holder.current.service
    },
    async reload(next) {
      await holder.replace(next)
      warnAboutListener(loaded, next, log)
    },
    stop: () => (stopped ??= stop()),
  }
}

type SharedOptions = Omit<InstanceOptions, 'makeAuthority' | 'patience'>

async function startFirst(loaded: LoadedConfiguration, options: SharedOptions): Promise<Instance> {
  const patience = (): AbortSignal => AbortSignal.timeout(START_PATIENCE_MS)
  return startInstance(loaded, { ...options, makeAuthority: true, patience })
}

/** @param end of the service, which waits for no plugin */
async function startReplacement(
  loaded: LoadedConfiguration,
  options: SharedOptions,
  end: AbortSignal,
): Promise<Instance> {
  const patience = (): AbortSignal =>
    AbortSignal.any([end, AbortSignal.timeout(REPLACEMENT_PATIENCE_MS)])
  // A reload must not create a CA, for example because of a wrong data_dir.
  return startInstance(loaded, { ...options, makeAuthority: false, patience })
}

/** Opens the installation again, whose next CA has become the current one. */
async function continueWithNext(
  outdated: Pick<Instance, 'service'>,
  instances: InstanceHolder | undefined,
  log: Logger,
): Promise<void> {
  if (instances === undefined) return
  log.info({ event: 'ca.rolled-over' }, 'another CA is current: continuing with it')
  await instances.renew(outdated).catch((error: unknown) => {
    log.error({ event: 'service.reload-failed', err: error }, 'cannot continue with the next CA')
  })
}

interface Listeners {
  readonly url: string
  readonly plainUrl: string | undefined
  readonly use: (instance: Instance) => void
  readonly tlsEnd: () => Date | undefined
  close(timeoutMs: number): Promise<void>
}

interface Observers {
  readonly log: Logger
  readonly metrics: Metrics
}

async function openListeners(
  loaded: LoadedConfiguration,
  first: Instance,
  observers: Observers,
): Promise<Listeners> {
  const listening = await listen(first.app, {
    ...listenOptions(loaded, observers.log),
    ...connectionOptions(loaded, observers),
  })
  const plain = await listenPlain(first.publicApp, loaded, observers).catch(
    async (error: unknown) => {
      // If the second listener fails, the first one must not stay open.
      await listening.close(0)
      throw error
    },
  )
  return {
    url: listening.url,
    plainUrl: plain?.url,
    tlsEnd: () => listening.tlsEnd,
    use({ app, publicApp }) {
      listening.use(app)
      plain?.use(publicApp)
    },
    async close(timeoutMs) {
      await Promise.all([listening.close(timeoutMs), plain?.close(timeoutMs)])
    },
  }
}

/** Names the settings of the listeners that a reload cannot change. */
function warnAboutListener(
  before: LoadedConfiguration,
  after: LoadedConfiguration,
  log: Logger,
): void {
  const settingsOf = ({
    configuration: { listen: settings, limits, delegations, access_tokens: accessTokens },
  }: LoadedConfiguration) => ({
    'listen.host': settings.host,
    'listen.port': settings.port,
    'listen.plain': settings.plain,
    'listen.tls_certificate_file': settings.tls_certificate_file,
    'listen.tls_key_file': settings.tls_key_file,
    'listen.trusted_proxies': settings.trusted_proxies,
    'limits.connections': limits.connections,
    'limits.token_bytes': limits.token_bytes,
    'limits.address_share': limits.address_share,
    'limits.request_timeout_seconds': limits.request_timeout_seconds,
    'delegations.renewal_by_possession.enabled': delegations.renewal_by_possession.enabled,
    'access_tokens.enabled': accessTokens.enabled,
  })
  const now: Readonly<Record<string, unknown>> = settingsOf(after)
  const changed = Object.entries(settingsOf(before))
    .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(now[name]))
    .map(([name]) => name)
  if (changed.length === 0) return
  log.warn(
    { event: 'service.restart-needed', settings: changed },
    'these settings of the listener take effect at the next restart',
  )
}

function metricsSources(service: () => AssembledService): Omit<MetricsSources, 'tlsEnd'> {
  return {
    now: () => service().now(),
    providers: () => service().verifier.status(),
    requestsInFlight: () => service().inFlight.count,
    keyPool: () => service().keyPool.state,
    authorityEnd: () => authorityEnd(service().authority),
    delegations: () => service().store.delegations.census(service().now()),
    crlNextUpdate: async () => (await service().crls.published()).nextUpdate,
  }
}

/** Starts the second listener: plain HTTP, for public paths only. */
async function listenPlain(
  app: RequestListener,
  loaded: LoadedConfiguration,
  { log, metrics }: Observers,
): Promise<Listening | undefined> {
  const { configuration } = loaded
  const { plain } = configuration.listen
  if (plain === undefined) return undefined
  const requestTimeoutMs = configuration.limits.request_timeout_seconds * 1000
  return listen(app, {
    ...plain,
    ...connectionOptions(loaded, { log, metrics }),
    tls: undefined,
    requestTimeoutMs,
    log,
  })
}

const OTHER_HEADERS_BYTES = 16 * 1024

/** Returns the limits that apply before a request is parsed. */
function connectionOptions(
  { configuration }: LoadedConfiguration,
  { log, metrics }: Observers,
): Pick<ListenOptions, 'connections' | 'onMalformed' | 'problemsUrl' | 'maxHeaderBytes'> {
  const { listen, limits } = configuration
  const isSample = createSampler({ perMinute: 1, nowMs: () => performance.now() })
  return {
    connections: {
      total: limits.connections,
      perAddress: partOf(limits.connections, limits.address_share),
      isTrustedProxy: trustedProxies(listen.trusted_proxies),
      onClosed: (reason) => metrics.connectionClosed(reason),
    },
    problemsUrl: problemsUrl(listen.public_url),
    maxHeaderBytes: limits.token_bytes + OTHER_HEADERS_BYTES,
    onMalformed: (code, address) => {
      metrics.refused('invalid_request', 'http')
      const sample = isSample(`${addressKey(address)} ${code}`)
      if (sample === undefined) return
      const fields = { event: 'http.malformed', code, address, ...sample }
      log.info(fields, 'received a message that is not valid HTTP')
    },
  }
}

function listenOptions({ configuration, path }: LoadedConfiguration, log: Logger) {
  const { host, port, tls_certificate_file: certificate, tls_key_file: key } = configuration.listen
  const base = path === undefined ? '.' : join(path, '..')
  const tls =
    certificate === undefined || key === undefined
      ? undefined
      : { certificateFile: resolve(base, certificate), keyFile: resolve(base, key) }
  return {
    host,
    port,
    tls,
    askClientCertificate:
      configuration.delegations.renewal_by_possession.enabled ||
      configuration.access_tokens.enabled,
    requestTimeoutMs: configuration.limits.request_timeout_seconds * 1000,
    log,
  }
}

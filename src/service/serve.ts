/** `tts serve`: assembles the service, listens, renews the CRL, prunes the database, and stops in order. */
import { join, resolve } from 'node:path'
import type { Logger } from 'pino'
import { type AppDependencies, createApp, createPublicApp } from '../api/app.ts'
import { problemsUrl } from '../api/error-codes.ts'
import { addressKey } from '../limits/address-key.ts'
import { listen, type Listening, type ListenOptions } from '../http/server.ts'
import { trustedProxies } from '../http/trusted-proxies.ts'
import { authorityEnd } from '../files/authority-certificate.ts'
import { authorityStatus } from './installation.ts'
import { assembleService, openCore, type AssembledService } from './compose.ts'
import type { Environment, LoadedConfiguration } from '../config/load.ts'
import { createTrustAnchors } from '../domain/revocation/trust-anchors.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { createSampler } from '../limits/sampler.ts'
import { partOf } from '../limits/shares.ts'
import type { WebOptions } from '../web/site.ts'

/** The running service. */
export interface Running {
  readonly url: string
  /** URL of the plain listener, if there is one. */
  readonly plainUrl: string | undefined
  readonly service: AssembledService
  /** Finishes the current requests and closes everything. May be called twice. */
  stop(): Promise<void>
}

const UPKEEP_INTERVAL_MS = 6 * 3600 * 1000
const MASTER_KEYS_INTERVAL_MS = 60_000

/** The environment of a service; by default the real time and no environment variables. */
export interface ServeRuntime {
  readonly now?: (() => Date) | undefined
  readonly environment?: Environment | undefined
  /** Where refresh requests run, see `createRefreshHelper`. Default `process`. */
  readonly refreshIn?: 'process' | 'here' | undefined
}

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
  const { configuration } = loaded
  const core = await openCore(loaded, { log, now, ...more }, { makeAuthority: true })
  let stopping = false
  let close = core.close
  try {
    const service = await assembleService(core)
    close = service.close
    // There must be a CRL before the first certificate, for relying parties that fetch it early. If no new CRL can be
    // issued, an older one is enough: a service that does not start could not revoke anything either.
    await core.crls.published()
    const metrics = metricsOf(service)
    let publicUrl = configuration.listen.public_url ?? 'http://127.0.0.1'
    const dependencies = appDependencies(service, metrics, {
      log,
      stopping: () => stopping,
      web: webOptions(service, () => publicUrl),
    })
    const listening = await listen(createApp(dependencies), {
      ...listenOptions(loaded, log),
      ...connectionOptions(loaded, { log, metrics }),
    })
    publicUrl = configuration.listen.public_url ?? listening.url
    // If the second listener fails, the first one must not stay open without a database.
    close = async () => {
      await listening.close(0)
      await service.close()
    }
    const plain = await listenPlain(dependencies, loaded, { log, metrics })
    const ends = [
      core.crls.watch(),
      watchRecords(service),
      watchMasterKeys(service),
      service.delegations.watch(),
    ]
    log.info({ event: 'service.started', url: listening.url, plainUrl: plain?.url }, 'listening')
    let stopped: Promise<void> | undefined
    const stop = async (): Promise<void> => {
      stopping = true
      log.info({ event: 'service.stopping' }, 'finishing the current requests')
      const ended = ends.map(async (end) => end())
      const timeoutMs = configuration.limits.shutdown_seconds * 1000
      await Promise.all([listening.close(timeoutMs), plain?.close(timeoutMs), ...ended])
      await service.close()
      log.info({ event: 'service.stopped' }, 'stopped')
    }
    return { url: listening.url, plainUrl: plain?.url, service, stop: () => (stopped ??= stop()) }
  } catch (error) {
    await close().catch(() => undefined)
    throw error
  }
}

function appDependencies(
  service: AssembledService,
  metrics: Metrics,
  options: Pick<AppDependencies, 'log' | 'stopping' | 'web'>,
): AppDependencies {
  const { authority, crls, crlUrl, endEntityBase, issuing, inFlight, delegations } = service
  const { ca, limits, watts, listen } = service.loaded.configuration
  return {
    ...options,
    metrics,
    inFlight,
    authorityStatus: () => authorityStatus(service, authority),
    issuing,
    credentials: service,
    delegations,
    trustAnchors: createTrustAnchors({
      authority,
      crls,
      alias: ca.alias,
      crlUrl,
      userNamespace: endEntityBase,
    }),
    limits,
    watts,
    publicUrl: listen.public_url,
    trustedProxies: listen.trusted_proxies,
  }
}

/** @param publicUrl known once the service listens */
function webOptions(
  { loaded, relying }: AssembledService,
  publicUrl: () => string,
): WebOptions | undefined {
  const { web } = loaded.configuration
  return web.enabled ? { settings: web, publicUrl: () => new URL(publicUrl()), relying } : undefined
}

function metricsOf(service: AssembledService): Metrics {
  return createMetrics({
    now: service.now,
    providers: () => service.verifier.status(),
    requestsInFlight: () => service.inFlight.count,
    keyPool: () => service.keyPool.state,
    authorityNotAfter: authorityEnd(service.authority),
    delegations: () => service.store.delegations.census(service.now()),
    crlNextUpdate: async () => (await service.crls.published()).nextUpdate,
  })
}

/** Starts the second listener: plain HTTP, for public paths only. */
async function listenPlain(
  dependencies: AppDependencies,
  loaded: LoadedConfiguration,
  { log, metrics }: { readonly log: Logger; readonly metrics: Metrics },
): Promise<Listening | undefined> {
  const { configuration } = loaded
  const { plain } = configuration.listen
  if (plain === undefined) return undefined
  const requestTimeoutMs = configuration.limits.request_timeout_seconds * 1000
  return listen(createPublicApp(dependencies), {
    ...plain,
    ...connectionOptions(loaded, { log, metrics }),
    tls: undefined,
    requestTimeoutMs,
    log,
  })
}

/** Returns the limits that apply before a request is parsed. */
function connectionOptions(
  { configuration }: LoadedConfiguration,
  { log, metrics }: { readonly log: Logger; readonly metrics: Metrics },
): Pick<ListenOptions, 'connections' | 'onMalformed' | 'problemsUrl'> {
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
    askClientCertificate: configuration.delegations.renewal_by_possession.enabled,
    requestTimeoutMs: configuration.limits.request_timeout_seconds * 1000,
    log,
  }
}

/** Follows the file of master keys, so that a rotation needs no restart. */
function watchMasterKeys({ store, log }: AssembledService): () => void {
  const reload = async (): Promise<void> => {
    if (await store.masterKeys.reload())
      log.info({ event: 'master-keys.reloaded' }, 'read the changed master keys')
  }
  const timer = setInterval(() => {
    reload().catch((error: unknown) => {
      log.error({ event: 'master-keys.failed', err: error }, 'cannot read the master keys again')
    })
  }, MASTER_KEYS_INTERVAL_MS)
  timer.unref()
  return () => clearInterval(timer)
}

/** Regularly removes the keys of expired EECs and old audit records. */
function watchRecords(service: AssembledService): () => void {
  const days = service.loaded.configuration.store.audit_retention_days
  const prune = (): void => {
    const at = service.now()
    service.store.prune(at, new Date(at.getTime() - days * 86_400_000)).catch((error: unknown) => {
      service.log.error({ event: 'records.prune-failed', err: error }, 'cannot remove old records')
    })
  }
  prune()
  const timer = setInterval(prune, UPKEEP_INTERVAL_MS)
  timer.unref()
  return () => clearInterval(timer)
}

/** `tts serve`: listens, reloads the configuration, and stops in order. */
import type { Logger } from 'pino'
import { authorityEnd } from '../files/authority-certificate.ts'
import type { AssembledService } from './compose.ts'
import type { Environment, LoadedConfiguration } from '../config/load.ts'
import { type Instance, type InstanceOptions, startInstance } from './instance.ts'
import { holdInstance, type InstanceHolder } from './reloading.ts'
import { type Listeners, openListeners, warnAboutListener } from './listeners.ts'
import { readBuildInfo } from '../base/build-info.ts'
import { createMetrics, type MetricsSources } from './metrics.ts'

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
  let open: Listeners | undefined
  let instances: InstanceHolder | undefined
  const sources = metricsSources(() => current().service)
  const metrics = createMetrics({ ...sources, tlsEnd: () => open?.tlsEnd() })
  const options: SharedOptions = {
    log,
    now,
    ...more,
    metrics,
    onSigned: (seconds) => metrics.proxySigned(seconds),
    stopping: () => end.signal.aborted,
    listenerUrl: () => open?.url ?? 'http://127.0.0.1',
    onRollOver: async (outdated) => continueWithNext(outdated, instances, log),
  }
  const first = await startFirst(loaded, options)
  const current = (): Instance => instances?.current ?? first
  const listeners = await openListeners(loaded, { log, metrics, current }).catch(
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
  open = listeners
  first.watch()
  const { url, plainUrl } = listeners
  log.info({ event: 'service.started', url, plain_url: plainUrl }, 'listening')
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

function metricsSources(service: () => AssembledService): Omit<MetricsSources, 'tlsEnd'> {
  return {
    build: readBuildInfo(),
    providers: () => service().verifier.status(),
    requestsInFlight: () => service().inFlight.count,
    keyPool: () => service().keyPool.state,
    authorityEnd: () => authorityEnd(service().authority),
    delegations: () => service().store.delegations.census(service().now()),
    crl: async () => service().crls.published(),
  }
}

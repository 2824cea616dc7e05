/**
 * The service under one configuration, without its listeners: the parts, the HTTP applications and the background
 * work. A reload starts a second instance and retires the first one.
 */
import type { RequestListener } from 'node:http'
import type { Logger } from 'pino'
import { type AppDependencies, createApp, createPublicApp, requestOptions } from '../api/app.ts'
import { createMyProxyApp, type MyProxyApp } from '../api/myproxy/app.ts'
import { createVomsApp } from '../api/voms/app.ts'
import type { LoadedConfiguration } from '../config/load.ts'
import { vomsHost } from '../config/voms-schema.ts'
import { absoluteUrl, type WebOptions } from '../web/site.ts'
import { type AssembledService, assembleService, openCore, type Runtime } from './compose.ts'
import { accessTokensOf } from './compose-access-tokens.ts'
import { vomsFilesOf } from './compose-voms.ts'
import { authorityStatus } from './installation.ts'
import type { Metrics } from './metrics.ts'
import { isRolledOver, trustAnchorsOf } from './roll-over.ts'
import { watchRecords, watchRetention } from './upkeep.ts'

/** What an instance shares with the one before it. */
export interface InstanceOptions extends Runtime {
  readonly log: Logger
  readonly metrics: Metrics
  readonly stopping: () => boolean
  readonly makeAuthority: boolean
  /** Until when to wait for slow plugins; called when they begin to start. */
  readonly patience: () => AbortSignal
  /** Called when another replica has activated the next CA; not again before it is settled. */
  readonly onRollOver: (outdated: Pick<Instance, 'service'>) => Promise<void>
  /** URL of the listener, for configurations without a public URL. */
  readonly listenerUrl: () => string
}

export interface Instance {
  readonly service: AssembledService
  readonly app: RequestListener
  /** For the plain listener: public paths only. */
  readonly publicApp: RequestListener
  /** For the VOMS server of a VO. */
  readonly vomsApp: (vo: string) => RequestListener
  /** For the MyProxy server. */
  readonly myproxyApp: MyProxyApp
  /** Starts the background work. */
  watch(): void
  /** Ends the background work, waits until all its requests are answered, at most this time, and closes it. */
  retire(timeoutMs: number): Promise<void>
}

const MASTER_KEYS_INTERVAL_MS = 60_000
const ROLL_OVER_INTERVAL_MS = 10_000
const DRAIN_POLL_MS = 10

/**
 * Opens CA and database, and makes the applications.
 *
 * @param options.makeAuthority create a CA if there has never been one
 * @throws {TtsError} `configuration`, `store_unavailable`
 */
export async function startInstance(
  loaded: LoadedConfiguration,
  options: InstanceOptions,
): Promise<Instance> {
  const core = await openCore(loaded, options, options)
  let close = core.close
  try {
    const service = await assembleService(core, {
      makeAuthority: options.makeAuthority,
      patience: options.patience(),
    })
    close = service.close
    // There must be a CRL before the first certificate, for relying parties that fetch it early. If no new CRL can be
    // issued, an older one is enough: a service that does not start could not revoke anything either.
    await core.crls.published()
    return instanceOf(service, options)
  } catch (error) {
    await close().catch(() => undefined)
    throw error
  }
}

function instanceOf(service: AssembledService, options: InstanceOptions): Instance {
  const dependencies = appDependencies(service, options)
  let ends: (() => unknown)[] = []
  return {
    service,
    app: createApp(dependencies),
    publicApp: createPublicApp(dependencies),
    vomsApp: (vo) => vomsAppOf(service, dependencies, vo),
    myproxyApp: myproxyAppOf(service, dependencies),
    watch() {
      const { crls, delegations } = service
      // One after the other, so that those that have begun end when a later one cannot begin.
      ends.push(crls.watch())
      ends.push(watchRecords(service))
      ends.push(watchRetention(service, options.metrics))
      ends.push(watchMasterKeys(service))
      ends.push(watchRollOver(service, options))
      ends.push(delegations.watch())
    },
    async retire(timeoutMs) {
      const ended = ends.map(async (end) => end())
      ends = []
      const endsAtMs = performance.now() + timeoutMs
      while (service.inFlight.count > 0 && performance.now() < endsAtMs)
        await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS))
      await Promise.all(ended)
      await service.close()
    },
  }
}

function appDependencies(
  service: AssembledService,
  { log, metrics, stopping, listenerUrl }: InstanceOptions,
): AppDependencies {
  const { authority, issuing, inFlight, delegations } = service
  const { limits, watts, listen } = service.loaded.configuration
  return {
    log,
    metrics,
    stopping,
    web: webOptions(service, () => listen.public_url ?? listenerUrl()),
    inFlight,
    authorityStatus: () => authorityStatus(service, authority),
    issuing,
    credentials: service,
    delegations,
    accessTokens: accessTokensOf(service),
    trustAnchors: trustAnchorsOf(service),
    vomsFiles: vomsFilesOf(service),
    limits,
    watts,
    publicUrl: listen.public_url,
    trustedProxies: listen.trusted_proxies,
    corsOrigins: listen.cors_origins,
  }
}

function vomsAppOf(
  service: AssembledService,
  dependencies: AppDependencies,
  vo: string,
): RequestListener {
  const { issuing, voms } = service
  const { attributes } = voms
  const serving = { ...issuing, attributes, certificates: certificateCallers(service) }
  const { metrics } = dependencies
  return createVomsApp({ vo, serving, requests: requestOptions(dependencies), metrics })
}

function myproxyAppOf(service: AssembledService, dependencies: AppDependencies): MyProxyApp {
  const { issuing, loaded, codes } = service
  const { web, trustAnchors, metrics } = dependencies
  const { myproxy, voms } = loaded.configuration
  return createMyProxyApp({
    issuing,
    certificates: certificateCallers(service),
    codes,
    codesUrl: () => (web === undefined ? undefined : absoluteUrl(web, '/services')),
    defaultService: myproxy.service,
    vos: Object.keys(voms.vos),
    trustAnchors,
    requests: requestOptions(dependencies),
    metrics,
  })
}

/** What identifies callers by a certificate: also one of a CA before or after a roll-over. */
function certificateCallers({ issuing, others, store, now }: AssembledService) {
  const authorities = [issuing.authority, ...others.map(({ authority }) => authority)]
  return { store, authorities, now }
}

/** @param publicUrl known once the service listens */
function webOptions(
  { loaded, relying, codes }: AssembledService,
  publicUrl: () => string,
): WebOptions | undefined {
  const { web, myproxy, voms, listen } = loaded.configuration
  if (!web.enabled) return undefined
  const host = vomsHost(voms, listen.public_url)
  const offersCodes = myproxy.listen !== undefined && host !== undefined
  return {
    settings: web,
    publicUrl: () => new URL(publicUrl()),
    relying,
    myproxy: offersCodes
      ? { host, port: myproxy.port, service: myproxy.service, codes }
      : undefined,
  }
}

/**
 * Notices that another replica, or a command, has activated the next CA. Looks again only when `onRollOver` is settled:
 * a start may take longer than the interval, and must not be followed by another one.
 */
export function watchRollOver(
  service: AssembledService,
  { log, onRollOver }: Pick<InstanceOptions, 'log' | 'onRollOver'>,
): () => void {
  let isBusy = false
  const look = async (): Promise<void> => {
    if (isBusy) return
    isBusy = true
    try {
      if (await isRolledOver(service)) await onRollOver({ service })
    } catch (error) {
      log.error({ event: 'roll-over.failed', err: error }, 'cannot see which CA is current')
    } finally {
      isBusy = false
    }
  }
  const timer = setInterval(() => void look(), ROLL_OVER_INTERVAL_MS)
  timer.unref()
  return () => clearInterval(timer)
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

/** Where proxies come from: one interface, three ways. */
import type { Log } from '../../base/log.ts'
import type { SourceStatus } from '../proxy-engine.ts'
import type { ServiceProxyRequest, ServiceClient, ServiceProxy } from './service-client.ts'
import type { SourceSettings } from '../settings/settings.ts'
import type { StartTokens } from './start-token.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

/** One way to get proxies for as long as it lasts. */
export interface ProxySource {
  readonly kind: Exclude<SourceStatus['kind'], 'none'>
  /** Sees what another certcache changed in the state. Cheap when nothing was. */
  load(): Promise<void>
  /** True when it holds something to renew with that is not known to have ended. */
  isAlive(): boolean
  /**
   * A proxy for the CSR.
   *
   * @throws {TtsError} `delegation_ended` when a new token is needed, `missing_token`, and what service and provider refuse with
   */
  obtain(request: ServiceProxyRequest, signal: AbortSignal): Promise<ServiceProxy>
  /** True when a token is there from which it can start (again). */
  canStart(): Promise<boolean>
  status(now: Date): SourceStatus
}

/** What every source is handed. */
export interface SourceParts {
  readonly settings: SourceSettings
  readonly service: ServiceClient
  readonly store: StateStore
  /** The lock of who renews; undefined while another certcache holds it. */
  readonly lock: () => StateLock | undefined
  readonly startTokens: StartTokens
  readonly now: () => Date
  readonly log: Log
}

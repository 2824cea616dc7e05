/** The interface of the proxy sources: delegation, refresh token, bare token. */
import type { Log } from '../../base/log.ts'
import type { SourceStatus } from '../proxy-engine.ts'
import type { ServiceProxyRequest, ServiceClient, ServiceProxy } from './service-client.ts'
import type { SourceSettings } from '../settings/settings.ts'
import type { StartTokens } from './start-token.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

/** A source of proxies. */
export interface ProxySource {
  readonly kind: Exclude<SourceStatus['kind'], 'none'>
  /** Reads changes that another certcache made in the state. Cheap when there are none. */
  load(): Promise<void>
  /** Whether it holds a credential to renew with that is not known to have ended. */
  isAlive(): boolean
  /**
   * Obtains a proxy for the CSR.
   *
   * @throws {TtsError} `delegation_ended` when a new token is needed, `missing_token`, and the refusals of the
   * service and of the provider
   */
  obtain(request: ServiceProxyRequest, signal: AbortSignal): Promise<ServiceProxy>
  /** Whether there is a token with which it can start, or start again. */
  canStart(): Promise<boolean>
  status(now: Date): SourceStatus
}

/** The options of every source. */
export interface SourceParts {
  readonly settings: SourceSettings
  readonly service: ServiceClient
  readonly store: StateStore
  /** The lock of the renewing certcache; undefined while another one holds it. */
  readonly lock: () => StateLock | undefined
  readonly startTokens: StartTokens
  readonly now: () => Date
  readonly log: Log
}

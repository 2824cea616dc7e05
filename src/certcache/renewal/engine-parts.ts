/** The options of the engine. */
import type { Clock } from '../proxy-engine.ts'
import type { ProxySettings } from '../settings/proxy-settings.ts'
import type { Sources } from '../sources/sources.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'
import type { ManagedProxyOptions } from './managed-proxy.ts'
import type { RenewalPolicy } from './renewal.ts'

/** What the settings decide; replaced as a whole when they change. */
export interface EngineSettings {
  readonly proxies: Readonly<Record<string, ProxySettings>>
  readonly policy: RenewalPolicy
  readonly sources: Sources
}

export interface EngineParts extends Pick<ManagedProxyOptions, 'random' | 'log' | 'environment'> {
  readonly clock: Clock
  readonly store: StateStore
  /** Milliseconds between two polls of the state. */
  readonly pollMs: number
  /** Whether proxies are renewed without a request. */
  readonly background: boolean
  /** Whether the engine only reads: it writes nothing and takes no lock. Default false. */
  readonly readOnly?: boolean
  /** Makes the settings. The sources need the lock to write their records. */
  readonly settings: (lock: () => StateLock | undefined) => EngineSettings
}

/** What the engine is handed. */
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
  readonly pollMs: number
  /** False: nothing happens but when it is asked for. */
  readonly background: boolean
  /** Only looked at: nothing is written, no lock is taken. Default false. */
  readonly readOnly?: boolean
  /** Made with the lock, by which sources write what they hold. */
  readonly settings: (lock: () => StateLock | undefined) => EngineSettings
}

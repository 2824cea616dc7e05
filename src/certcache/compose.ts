/** The one place where the parts of certcache's engine are made and put together. */
import type { Environment } from '../config/settings-tree.ts'
import type { Log } from '../log.ts'
import type { LoadedCertcacheSettings } from './load-settings.ts'
import type { Clock, ProxyKeeper } from './proxy-keeper.ts'

/** What the engine is handed. */
export interface KeeperParts {
  readonly log: Log
  readonly clock: Clock
  /** From 0 to below 1. */
  readonly random: () => number
  /** For bearer token discovery and for hooks' PATH. */
  readonly environment: Environment
  /** Numeric id of the user. */
  readonly uid: number
  /** True for `serve`: proxies are renewed by themselves. False: only when `renewIfDue` is called. */
  readonly background: boolean
  /**
   * Who talks to the identity provider: a process of its own, which outlives a kill of ours, or (tests from TypeScript) this one.
   * Default `process`.
   */
  readonly custodian?: 'process' | 'inside'
  /** How often the state is looked at for what others put there. Default 3000. */
  readonly pollMs?: number
}

/** A keeper whose settings can change while it runs. */
export interface RunningKeeper extends ProxyKeeper {
  /** Takes new settings; proxies in hand that still fit stay. `state` does not change while running. */
  reload(settings: LoadedCertcacheSettings): Promise<void>
}

/**
 * Opens the state and answers the keeper. What was kept is served at once; neither provider nor service need be up.
 *
 * @throws {TtsError} `configuration` when the state cannot be used: others can read it, its key is wrong
 */
export async function openKeeper(
  settings: LoadedCertcacheSettings,
  parts: KeeperParts,
): Promise<RunningKeeper> {
  void settings
  void parts
  throw new Error('under construction')
}

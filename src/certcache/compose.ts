/** The one place where the parts of certcache's engine are made and put together. */
import { join } from 'node:path'
import type { Environment } from '../config/settings-tree.ts'
import type { TtsError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { createRefreshHelper } from '../refresh-helper/helper.ts'
import type { EngineSettings } from './renewal/engine-parts.ts'
import { Engine } from './renewal/engine.ts'
import type { LoadedCertcacheSettings } from './settings/load-settings.ts'
import { openState } from './state/open-state.ts'
import { spoolDirectory } from './state/spool-directory.ts'
import type { Clock, ProxyEngine } from './proxy-engine.ts'
import { removeLeftovers } from './outputs/proxy-output.ts'
import { cannotWrite, findWriteObstacle } from './outputs/room.ts'
import type { RenewalPolicy } from './renewal/renewal.ts'
import { createServiceClient } from './sources/service-client.ts'
import type { RenewalSettings } from './settings/settings.ts'
import { createSources } from './sources/sources.ts'
import { createStartTokens } from './sources/start-token.ts'
import type { StateLock } from './state/state-store.ts'

/** What the engine is handed. */
export interface EngineOptions {
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
  /** For `status`: what is kept is looked at, and nothing is written. Default false. */
  readonly readOnly?: boolean
  /** Who makes refresh requests, see `createRefreshHelper`. Default `process`. */
  readonly refreshIn?: 'process' | 'here'
  /** How often the state is looked at for what others put there. Default 3000. */
  readonly pollMs?: number
}

/** An engine whose settings can change while it runs. */
export interface RunningEngine extends ProxyEngine {
  /** Takes new settings; proxies in hand that still fit stay. `state` does not change while running. */
  reload(settings: LoadedCertcacheSettings): Promise<void>
}

/**
 * Opens the state and answers the engine. What was kept is served at once; neither provider nor service need be up.
 *
 * @throws {TtsError} `configuration` when the state cannot be used: others can read it, its key is wrong
 */
export async function openEngine(
  settings: LoadedCertcacheSettings,
  parts: EngineOptions,
): Promise<RunningEngine> {
  const { log, clock, random, environment, uid, background, readOnly = false } = parts
  const store = await openState(settings.state, uid, !readOnly)
  if (!readOnly) await removeAllLeftovers(settings, clock.now())
  const helper = readOnly
    ? undefined
    : createRefreshHelper({
        directory: await spoolDirectory(settings.state, uid),
        environment,
        run: parts.refreshIn,
      })
  const make =
    (current: LoadedCertcacheSettings) =>
    (lock: () => StateLock | undefined): EngineSettings => ({
      proxies: current.proxies,
      policy: policyOf(current.renewal),
      sources: createSources({
        settings: current.source,
        service: serviceOf(current, parts),
        store,
        lock,
        startTokens: createStartTokens(current.source, { environment, uid }),
        now: () => clock.now(),
        log,
        helper,
        cluster: settings.state.cluster,
      }),
    })
  const engine = new Engine({
    log,
    clock,
    random,
    environment,
    background,
    readOnly,
    pollMs: parts.pollMs ?? POLL_MS,
    store,
    settings: make(settings),
  })
  try {
    await engine.start()
    if (readOnly)
      await engine.inspect({
        defaultOutput: (name) => join(settings.state.directory, name),
        stateError: await stateProblem(settings.state),
      })
  } catch (error) {
    await engine.close()
    throw error
  }
  return Object.assign(engine, {
    reload: async (next: LoadedCertcacheSettings) => engine.replaceSettings(make(next)),
  })
}

const POLL_MS = 3000
/** Room for the records of the state: a few proxies. */
const STATE_BYTES = 64 * 1024

/** Why nothing can be written into the state now; a database says so when it is asked. */
async function stateProblem({
  url,
  directory,
}: LoadedCertcacheSettings['state']): Promise<TtsError | undefined> {
  const code = url === undefined ? await findWriteObstacle(directory, STATE_BYTES) : undefined
  return code === undefined ? undefined : cannotWrite(directory, { code })
}

/** Half-written files of certcaches that were killed: private, but keys all the same. */
async function removeAllLeftovers(
  { state, proxies }: LoadedCertcacheSettings,
  now: Date,
): Promise<void> {
  const outputs = Object.values(proxies).flatMap(({ outputs = [] }) => outputs)
  const paths = outputs.map(({ path, format }) => (format === 'split' ? join(path, 'x') : path))
  for (const path of [state.key_file, join(state.directory, 'x'), ...paths])
    await removeLeftovers(path, now)
}

function serviceOf({ service }: LoadedCertcacheSettings, { clock, log }: EngineOptions) {
  return createServiceClient({
    url: service.url,
    caFile: service.ca_file,
    timeoutMs: service.timeout_seconds * 1000,
    now: () => clock.now(),
    log,
  })
}

function policyOf(renewal: RenewalSettings): RenewalPolicy {
  const { renew_after_seconds: after } = renewal
  return {
    renewBelow: renewal.renew_below,
    jitter: renewal.jitter,
    renewAfterMs: after === undefined ? undefined : after * 1000,
    retryFirstMs: renewal.retry_first_seconds * 1000,
    retryLongestMs: renewal.retry_longest_seconds * 1000,
  }
}

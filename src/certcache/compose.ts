/** Composes the renewal engine from its parts. */
import { join } from 'node:path'
import type { Environment } from '../config/settings-tree.ts'
import type { TtsError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { createRefreshHelper } from '../refresh-helper/helper.ts'
import type { EngineSettings } from './renewal/engine-parts.ts'
import { Engine } from './renewal/engine.ts'
import type { LoadedCertcacheSettings } from './settings/load-settings.ts'
import { openState, placeOfState } from './state/open-state.ts'
import { spoolDirectory } from './state/spool-directory.ts'
import type { Clock, ProxyEngine } from './proxy-engine.ts'
import { removeLeftovers } from './outputs/proxy-output.ts'
import { cannotWriteOutput, findWriteObstacle } from './outputs/room.ts'
import type { RenewalPolicy } from './renewal/renewal.ts'
import { createServiceClient } from './sources/service-client.ts'
import type { RenewalSettings } from './settings/settings.ts'
import { createSources } from './sources/sources.ts'
import { createStartTokens } from './sources/start-token.ts'
import type { StateLock } from './state/state-store.ts'

/** The options of the engine. */
export interface EngineOptions {
  readonly log: Log
  readonly clock: Clock
  /** From 0 to below 1. */
  readonly random: () => number
  /** For bearer token discovery, and for the PATH of hooks. */
  readonly environment: Environment
  /** Numeric id of the user. */
  readonly uid: number
  /** True (`serve`): proxies are renewed in the background. False: only when `renewIfDue` is called. */
  readonly background: boolean
  /** True (`status`): only reads the state and writes nothing. Default false. */
  readonly readOnly?: boolean
  /** Where refresh requests run, see `createRefreshHelper`. Default `process`. */
  readonly refreshIn?: 'process' | 'here'
  /** Prints a line about each request to the service and its answer. */
  readonly trace?: ((line: string) => void) | undefined
  /** How often the state is polled for changes by others. Default 3000. */
  readonly pollMs?: number
}

/** An engine whose settings can change while it runs. */
export interface RunningEngine extends ProxyEngine {
  /** Applies new settings. Present proxies that still fit stay. Changes of `state` need a restart. */
  reload(settings: LoadedCertcacheSettings): Promise<void>
}

/**
 * Opens the state and starts the engine. Stored proxies are available immediately, even while provider and service
 * are down.
 *
 * @throws {TtsError} `configuration` when the state cannot be used: other users can read it, or its key is wrong
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
        service: serviceClientOf(current, parts),
        store,
        lock,
        startTokens: createStartTokens(current.source, { environment, uid }),
        now: () => clock.now(),
        log,
        helper,
        cluster: settings.state.cluster,
        statePlace: placeOfState(settings.state),
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
        stateError: await findStateProblem(settings.state),
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
/** Space for the records of the state: a few proxies. */
const STATE_BYTES = 64 * 1024

/** Returns why the state directory cannot be written. A database reports its problems by itself. */
async function findStateProblem({
  url,
  directory,
}: LoadedCertcacheSettings['state']): Promise<TtsError | undefined> {
  const code = url === undefined ? await findWriteObstacle(directory, STATE_BYTES) : undefined
  return code === undefined ? undefined : cannotWriteOutput(directory, { code })
}

/** Removes temporary files of killed certcaches. They are private, but they hold keys. */
async function removeAllLeftovers(
  { state, proxies }: LoadedCertcacheSettings,
  now: Date,
): Promise<void> {
  const outputs = Object.values(proxies).flatMap(({ outputs = [] }) => outputs)
  const paths = outputs.map(({ path, format }) => (format === 'split' ? join(path, 'x') : path))
  for (const path of [state.key_file, join(state.directory, 'x'), ...paths])
    await removeLeftovers(path, now)
}

function serviceClientOf(
  { service }: LoadedCertcacheSettings,
  { clock, log, trace }: EngineOptions,
) {
  return createServiceClient({
    url: service.url,
    caFile: service.ca_file,
    timeoutMs: service.timeout_seconds * 1000,
    now: () => clock.now(),
    log,
    trace,
  })
}

function policyOf(renewal: RenewalSettings): RenewalPolicy {
  const { renew_after_seconds: renewAfterSeconds } = renewal
  return {
    renewBelow: renewal.renew_below,
    jitter: renewal.jitter,
    renewAfterMs: renewAfterSeconds === undefined ? undefined : renewAfterSeconds * 1000,
    retryFirstMs: renewal.retry_first_seconds * 1000,
    retryLongestMs: renewal.retry_longest_seconds * 1000,
  }
}

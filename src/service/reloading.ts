/** Replaces the instance of the service while it runs: new requests get the new one, running ones keep the old one. */
import type { Logger } from 'pino'
import { createMutex } from '../base/async.ts'
import type { LoadedConfiguration } from '../config/load.ts'
import type { Instance } from './instance.ts'

export interface InstanceHolder {
  /** The instance for the next request. */
  readonly current: Instance
  /**
   * Starts another instance and retires the current one. If it cannot start, the current one stays in use.
   *
   * @throws {TtsError} `configuration`, `store_unavailable`
   */
  replace(loaded: LoadedConfiguration): Promise<void>
  /**
   * The same with the configuration of the current instance, for an instance that cannot go on as it is. Does nothing
   * when that one was replaced meanwhile.
   *
   * @throws as `replace`
   */
  renew(outdated: Pick<Instance, 'service'>): Promise<void>
  /** Retires the current instance, after a replacement that has begun. */
  close(): Promise<void>
}

export interface ReloadingOptions {
  readonly start: (loaded: LoadedConfiguration) => Promise<Instance>
  /** Passes all further requests to an instance. */
  readonly use: (instance: Instance) => void
  readonly log: Logger
}

export function holdInstance(
  first: Instance,
  { start, use, log }: ReloadingOptions,
): InstanceHolder {
  let current = first
  let isClosing = false
  const turns = createMutex()
  const retiring = new Set<Promise<void>>()

  function retireInBackground(instance: Instance): void {
    const retired = retire(instance).catch((error: unknown) => {
      log.error({ event: 'service.retire-failed', err: error }, 'cannot close the old parts')
    })
    retiring.add(retired)
    void retired.finally(() => retiring.delete(retired))
  }

  async function replace(loaded: LoadedConfiguration): Promise<void> {
    if (isClosing) return
    const before = current
    const next = await start(loaded)
    try {
      use(next)
      next.watch()
    } catch (error) {
      retireInBackground(next)
      use(before)
      throw error
    }
    current = next
    log.level = loaded.configuration.log.level
    log.info({ event: 'service.reloaded' }, 'continuing with the new configuration')
    retireInBackground(before)
  }

  return {
    get current() {
      return current
    },
    replace: async (loaded) => turns.run(async () => replace(loaded)),
    renew: async ({ service }) =>
      turns.run(async () => {
        // Looked at in its turn: a reload may be under way, whose configuration must stay in use.
        if (current.service === service) await replace(service.loaded)
      }),
    async close() {
      isClosing = true
      await turns.run(async () => retire(current))
      await Promise.all(retiring)
    },
  }
}

async function retire(instance: Instance): Promise<void> {
  const { limits } = instance.service.loaded.configuration
  await instance.retire(limits.shutdown_seconds * 1000)
}

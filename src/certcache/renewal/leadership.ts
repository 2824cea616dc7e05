/** Who renews: the one certcache of the cluster that holds the lock. The others serve what it leaves in the state. */
import type { Log } from '../../base/log.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

export interface Leadership {
  /** The lock while it is held. */
  readonly lock: StateLock | undefined
  /**
   * Finds out whether the lock is still held, and tries to get it where it is not.
   *
   * @returns true when it was got just now: whatever the state holds must be read again
   * @throws {TtsError} `store_unavailable`, `configuration`
   */
  look(): Promise<boolean>
  release(): Promise<void>
}

export function createLeadership(store: StateStore, log: Log): Leadership {
  let lock: StateLock | undefined
  let told: boolean | undefined

  const tell = (holds: boolean): void => {
    if (told === holds) return
    told = holds
    const what = holds ? 'this certcache renews' : 'another certcache renews; this one serves'
    log.info({ event: holds ? 'lock.taken' : 'lock.elsewhere' }, what)
  }
  const held = (): StateLock | undefined => {
    if (lock?.lost.aborted === true) {
      lock = undefined
      told = undefined
      log.warn({ event: 'lock.lost' }, 'the lock is lost: another certcache may renew now')
    }
    return lock
  }
  return {
    get lock() {
      return held()
    },
    look: async () => {
      const known = held()
      if (known !== undefined) {
        await known.check()
        return false
      }
      lock = await store.tryLock('renewer')
      tell(lock !== undefined)
      return lock !== undefined
    },
    release: async () => {
      const known = lock
      lock = undefined
      await known?.release()
    },
  }
}

/**
 * Decides which certcache of a cluster renews: the one that holds the lock. The others serve the proxies from the
 * state.
 */
import type { Log } from '../../base/log.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

export interface Leadership {
  /** The lock, while this certcache holds it. */
  readonly lock: StateLock | undefined
  /**
   * Checks that the lock is still held, or tries to acquire it.
   *
   * @returns true when the lock was acquired by this call: the whole state must be read again
   * @throws {TtsError} `store_unavailable`, `configuration`
   */
  checkOrAcquire(): Promise<boolean>
  release(): Promise<void>
}

export function createLeadership(store: StateStore, log: Log): Leadership {
  let lock: StateLock | undefined
  let logged: boolean | undefined

  const logChange = (holds: boolean): void => {
    if (logged === holds) return
    logged = holds
    const message = holds
      ? 'this certcache renews the proxies'
      : 'another certcache renews the proxies; this one serves them'
    log.info({ event: holds ? 'lock.taken' : 'lock.elsewhere' }, message)
  }
  const heldLock = (): StateLock | undefined => {
    if (lock?.lost.aborted === true) {
      lock = undefined
      logged = undefined
      log.warn({ event: 'lock.lost' }, 'lost the lock; another certcache may renew now')
    }
    return lock
  }
  return {
    get lock() {
      return heldLock()
    },
    checkOrAcquire: async () => {
      const held = heldLock()
      if (held !== undefined) {
        await held.check()
        return false
      }
      lock = await store.tryLock('renewer')
      logChange(lock !== undefined)
      return lock !== undefined
    },
    release: async () => {
      const held = lock
      lock = undefined
      await held?.release()
    },
  }
}

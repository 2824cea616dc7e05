import { createMutex, type Mutex, withinTime } from '../base/async.ts'
import { TtsError } from '../base/errors.ts'

/** One piece of work at a time for each name. */
export interface NamedLocks {
  /**
   * Runs `work` while nobody else does for this name.
   *
   * @param waitMs how long others are waited for
   * @throws TtsError `overloaded` with check `delegation_busy`; on PostgreSQL also `store_unavailable`.
   */
  run<Answer>(name: string, work: () => Promise<Answer>, waitMs: number): Promise<Answer>
  close(): Promise<void>
}

/** How often a lock that another process may hold is tried. */
export const LOCK_PAUSES = { firstPauseMs: 10, longestPauseMs: 250 }

/** Locks within this process. */
export function createLocalLocks(): NamedLocks {
  const mutexes = new Map<string, Mutex>()
  const end = (name: string, mutex: Mutex, release: () => void): void => {
    release()
    if (!mutex.isBusy) mutexes.delete(name)
  }
  return {
    async run(name, work, waitMs) {
      const mutex = mutexes.get(name) ?? createMutex()
      mutexes.set(name, mutex)
      const lock = mutex.lock()
      const release = await withinTime(lock, waitMs, lockBusy).catch(async (error: unknown) => {
        void lock.then((late) => end(name, mutex, late))
        throw error
      })
      try {
        return await work()
      } finally {
        end(name, mutex, release)
      }
    },
    close: () => Promise.resolve(),
  }
}

/** The error of a caller that waited too long for a lock. */
export function lockBusy(): TtsError {
  return new TtsError('overloaded', 'another renewal of this delegation is under way', {
    check: 'delegation_busy',
    retryAfterSeconds: 5,
  })
}

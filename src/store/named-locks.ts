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

/** Locks within this process. */
export function createLocalLocks(): NamedLocks {
  const last = new Map<string, Promise<void>>()
  return {
    async run(name, work, waitMs) {
      const before = last.get(name)
      let release = (): void => undefined
      const own = new Promise<void>((resolve) => {
        release = resolve
      })
      // Who comes next waits for all before, also for those that this one gave up waiting for.
      const tail = Promise.all([before, own]).then(() => {
        if (last.get(name) === tail) last.delete(name)
      })
      last.set(name, tail)
      try {
        if (before !== undefined) await waitFor(before, waitMs)
        return await work()
      } finally {
        release()
      }
    },
    close: () => Promise.resolve(),
  }
}

/** The error of who waited too long for a lock. */
export function lockBusy(): TtsError {
  return new TtsError('overloaded', 'another renewal of this delegation is under way', {
    check: 'delegation_busy',
    retryAfterSeconds: 5,
  })
}

async function waitFor(before: Promise<void>, waitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(lockBusy()), waitMs)
  })
  try {
    await Promise.race([before, expired])
  } finally {
    clearTimeout(timer)
  }
}

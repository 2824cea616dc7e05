/**
 * A queue with limits on running and waiting jobs, in total and per key (an identity or an address). Jobs beyond the
 * limits are refused immediately. The next job to start is the first one of the key that has the fewest running jobs.
 */

export interface FairQueue {
  /**
   * Runs `work` as soon as the limits permit. If the signal is aborted before that, the job leaves the queue.
   *
   * @throws {QueueFullError} `key_full` or `queue_full`, without waiting
   * @throws the signal's reason, if it is aborted before the work starts; what `work` throws
   */
  run<Result>(key: string, signal: AbortSignal, work: () => Promise<Result>): Promise<Result>
  readonly running: number
  readonly waiting: number
}

export interface FairQueueLimits {
  /** How many jobs may run at the same time, in total and per key. */
  readonly parallel: number
  readonly parallelPerKey: number
  /** How many jobs may wait, in total and per key. */
  readonly waiting: number
  readonly waitingPerKey: number
}

/** The queue is full: for one key (`key_full`) or in total (`queue_full`). */
export class QueueFullError extends Error {
  readonly code: 'key_full' | 'queue_full'

  constructor(code: 'key_full' | 'queue_full') {
    super(
      code === 'key_full' ? 'too many jobs of one caller are waiting' : 'too many jobs are waiting',
    )
    this.name = 'QueueFullError'
    this.code = code
  }
}

interface Waiter {
  readonly key: string
  readonly start: () => void
}

export function createFairQueue(limits: FairQueueLimits): FairQueue {
  /** In order of arrival. */
  const waiters = new Set<Waiter>()
  const running = createCounts()
  const waiting = createCounts()

  const mayStart = (key: string): boolean =>
    running.total < limits.parallel && running.of(key) < limits.parallelPerKey

  const startNext = (): void => {
    let next: Waiter | undefined
    for (const waiter of waiters) {
      if (!mayStart(waiter.key)) continue
      if (next === undefined || running.of(waiter.key) < running.of(next.key)) next = waiter
    }
    next?.start()
  }

  const turn = (key: string, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const end = (): void => {
        waiters.delete(waiter)
        waiting.take(key)
        signal.removeEventListener('abort', leave)
      }
      const leave = (): void => {
        end()
        reject(signal.reason as Error)
      }
      const start = (): void => {
        end()
        running.add(key)
        resolve()
      }
      const waiter = { key, start }
      waiters.add(waiter)
      waiting.add(key)
      signal.addEventListener('abort', leave, { once: true })
    })

  return {
    async run(key, signal, work) {
      signal.throwIfAborted()
      // This overtakes nobody: while there is room, only jobs whose key is at its own limit are waiting.
      if (mayStart(key)) running.add(key)
      else if (waiting.of(key) >= limits.waitingPerKey) throw new QueueFullError('key_full')
      else if (waiting.total >= limits.waiting) throw new QueueFullError('queue_full')
      else await turn(key, signal)
      try {
        return await work()
      } finally {
        running.take(key)
        startNext()
      }
    },
    get running() {
      return running.total
    },
    get waiting() {
      return waiting.total
    },
  }
}

/** Counts by key, with their total. */
export interface Counts {
  readonly total: number
  of(key: string): number
  add(key: string): void
  take(key: string): void
}

export function createCounts(): Counts {
  const counts = new Map<string, number>()
  let total = 0
  return {
    get total() {
      return total
    },
    of: (key) => counts.get(key) ?? 0,
    add(key) {
      counts.set(key, (counts.get(key) ?? 0) + 1)
      total += 1
    },
    take(key) {
      const left = (counts.get(key) ?? 1) - 1
      if (left > 0) counts.set(key, left)
      else counts.delete(key)
      total -= 1
    },
  }
}

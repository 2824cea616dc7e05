/**
 * So much work at once, so many that wait, and the rest refused at once; with a share of both for each key (an identity, an
 * address). Of those that wait, the first one of the key that has the least under way goes next.
 */

export interface FairQueue {
  /**
   * Does the work when its turn comes. Whoever leaves while waiting leaves the queue.
   *
   * @throws {QueueFullError} at once
   * @throws the signal's reason, while waiting
   */
  run<Result>(key: string, signal: AbortSignal, work: () => Promise<Result>): Promise<Result>
  readonly running: number
  readonly waiting: number
}

export interface FairQueueLimits {
  /** Pieces of work at once, of all keys and of one. */
  readonly parallel: number
  readonly parallelPerKey: number
  /** How many may wait, of all keys and of one. */
  readonly waiting: number
  readonly waitingPerKey: number
}

/** Nothing more can wait: of one key, or of all. */
export class QueueFullError extends Error {
  readonly code: 'key_full' | 'queue_full'

  constructor(code: 'key_full' | 'queue_full') {
    super(code === 'key_full' ? 'too much of one caller is waiting' : 'too much is waiting')
    this.name = 'QueueFullError'
    this.code = code
  }
}

interface Waiter {
  readonly key: string
  readonly start: () => void
}

export function createFairQueue(limits: FairQueueLimits): FairQueue {
  /** In the order in which they came. */
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
      // Nobody who waits is passed: only one whose key has its share under way may wait while there is room.
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

interface Counts {
  readonly total: number
  of(key: string): number
  add(key: string): void
  take(key: string): void
}

function createCounts(): Counts {
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

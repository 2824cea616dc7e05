/** Waiting with a limit, one piece of work at a time, shared work, and answers that come back over a channel. */
import { setTimeout as delay } from 'node:timers/promises'

/**
 * What the promise settles with, unless the signal ends first; the work itself goes on.
 *
 * @param reason what is thrown then; default: the signal's own reason
 */
export async function unlessAborted<Value>(
  promise: Promise<Value>,
  signal: AbortSignal | undefined,
  reason?: () => Error,
): Promise<Value> {
  if (signal === undefined) return promise
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = (): void => reject(reason?.() ?? (signal.reason as Error))
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/**
 * What the promise settles with, or an error once `milliseconds` have passed; the work itself goes on.
 *
 * @param late makes the error
 */
export async function withinTime<Value>(
  promise: Promise<Value>,
  milliseconds: number,
  late: () => Error,
): Promise<Value> {
  const { promise: expired, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(late()), milliseconds)
  try {
    return await Promise.race([promise, expired])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Tries again, with pauses that double, until `attempt` gives a value; undefined when the time has passed without one.
 *
 * @throws what `attempt` throws
 */
export async function retryFor<Value>(
  attempt: () => Value | undefined | Promise<Value | undefined>,
  {
    milliseconds,
    firstPauseMs,
    longestPauseMs,
  }: {
    readonly milliseconds: number
    readonly firstPauseMs: number
    readonly longestPauseMs: number
  },
): Promise<Value | undefined> {
  const end = performance.now() + milliseconds
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    const value = await attempt()
    if (value !== undefined || performance.now() > end) return value
    // Between half of the pause and all of it, so that those who wait together do not try together.
    await delay(pauseMs * (0.5 + Math.random() / 2))
  }
}

/** Lets one caller at a time work, in the order in which they came. */
export interface Mutex {
  /** True while somebody holds the lock or waits for it. */
  readonly isBusy: boolean
  /** Waits for the lock; resolves with the function that releases it. */
  lock(): Promise<() => void>
  /** Runs the work while holding the lock. */
  run<Value>(work: () => Promise<Value>): Promise<Value>
}

export function createMutex(): Mutex {
  let last = Promise.resolve()
  let callers = 0
  const lock = async (): Promise<() => void> => {
    const before = last
    const { promise, resolve } = Promise.withResolvers<void>()
    last = promise
    callers += 1
    await before
    return () => {
      callers -= 1
      resolve()
    }
  }
  return {
    get isBusy() {
      return callers > 0
    },
    lock,
    run: async (work) => {
      const release = await lock()
      try {
        return await work()
      } finally {
        release()
      }
    },
  }
}

/** Questions that were sent over a channel and wait for their answers, each found by its number. */
export interface PendingAnswers<Answer> {
  readonly size: number
  /** Sends a question under a number of its own and waits for the answer. */
  ask(send: (id: number) => void): Promise<Answer>
  /** Settles the question of this number; does nothing when it is not known. */
  settle(id: number, outcome: Answer | Error): void
  /** Rejects every question that waits. */
  rejectAll(error: Error): void
}

export function createPendingAnswers<Answer>(): PendingAnswers<Answer> {
  const waiting = new Map<number, PromiseWithResolvers<Answer>>()
  let lastId = 0
  return {
    get size() {
      return waiting.size
    },
    ask: async (send) => {
      const question = Promise.withResolvers<Answer>()
      lastId += 1
      waiting.set(lastId, question)
      send(lastId)
      return question.promise
    },
    settle: (id, outcome) => {
      const question = waiting.get(id)
      waiting.delete(id)
      if (outcome instanceof Error) question?.reject(outcome)
      else question?.resolve(outcome)
    },
    rejectAll: (error) => {
      const questions = [...waiting.values()]
      waiting.clear()
      for (const { reject } of questions) reject(error)
    },
  }
}

/** One run at a time: who comes while it is under way gets its outcome. */
export interface SingleFlight<Value> {
  /** Undefined when nothing runs. */
  readonly current: Promise<Value> | undefined
  run(work: () => Promise<Value>): Promise<Value>
}

export function createSingleFlight<Value>(): SingleFlight<Value> {
  let current: Promise<Value> | undefined
  return {
    get current() {
      return current
    },
    run: (work) =>
      (current ??= work().finally(() => {
        current = undefined
      })),
  }
}

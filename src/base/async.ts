/** Limited waits, retries, a mutex, shared work, and answers to numbered questions over a channel. */
import { setTimeout as delay } from 'node:timers/promises'

/**
 * Settles like the promise, unless the signal is aborted first. Does not stop the work behind the promise.
 *
 * @param reason makes the error to throw on abort; default: the signal's reason
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
 * Settles like the promise, or throws after `milliseconds`. Does not stop the work behind the promise.
 *
 * @param late makes the error to throw
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
 * Calls `attempt` until it returns a value, with pauses that double. Returns undefined if the time has passed without
 * one.
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
    // Shortened at random by up to one half, so that concurrent callers do not retry at the same moment.
    await delay(pauseMs * (0.5 + Math.random() / 2))
  }
}

/** Runs one caller's work at a time, in order of arrival. */
export interface Mutex {
  /** Whether a caller holds the lock or waits for it. */
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

/** Questions sent over a channel, waiting for their answers; each has a number. */
export interface PendingAnswers<Answer> {
  readonly size: number
  /** Sends a question with a new number and waits for its answer. */
  ask(send: (id: number) => void): Promise<Answer>
  /** Settles the question with this number; does nothing if the number is unknown. */
  settle(id: number, outcome: Answer | Error): void
  /** Rejects every waiting question. */
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
      const id = lastId
      waiting.set(id, question)
      try {
        send(id)
      } catch (error) {
        waiting.delete(id)
        throw error
      }
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

/** Runs work once at a time: callers that come meanwhile share the run and its result. */
export interface SingleFlight<Value> {
  /** The run in progress; undefined when there is none. */
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

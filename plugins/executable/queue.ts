/** So many runs at once, so many that wait, and the rest refused at once. */
import { PluginError } from '../plugin.ts'
import { userMessages } from './protocol.ts'

export interface RunQueue {
  /**
   * Does the work when its turn comes. Who leaves while waiting leaves the queue.
   *
   * @throws {PluginError} `overloaded`
   * @throws the signal's reason
   */
  run<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result>
  /** For metrics. */
  readonly running: number
  readonly waiting: number
}

/** @param options.retryAfterSeconds what those that are refused are told */
export function createRunQueue(options: {
  readonly parallel: number
  readonly maximumWaiting: number
  readonly retryAfterSeconds: number
}): RunQueue {
  const { parallel, maximumWaiting, retryAfterSeconds } = options
  /** In the order of their coming; each starts its turn. */
  const waiting = new Set<() => void>()
  let running = 0

  const turn = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const leave = (): void => {
        waiting.delete(start)
        reject(signal.reason as Error)
      }
      const start = (): void => {
        waiting.delete(start)
        signal.removeEventListener('abort', leave)
        running += 1
        resolve()
      }
      waiting.add(start)
      signal.addEventListener('abort', leave, { once: true })
    })

  return {
    async run(signal, work) {
      signal.throwIfAborted()
      if (running < parallel) running += 1
      else if (waiting.size < maximumWaiting) await turn(signal)
      else throw new PluginError('overloaded', userMessages.overloaded, { retryAfterSeconds })
      try {
        return await work()
      } finally {
        running -= 1
        const [next] = waiting
        next?.()
      }
    },
    get running() {
      return running
    },
    get waiting() {
      return waiting.size
    },
  }
}

/** Waiting that can be given up, and work that all who want it at the same time share. */

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

/** How a job is repeated. */
export interface BackgroundOptions {
  readonly now: () => Date
  /** From one success to the next run. */
  readonly everyMs: number
  /** First and longest wait after a failure; it doubles in between. */
  readonly retry: { readonly firstMs: number; readonly longestMs: number }
  readonly onSuccess: () => void
  readonly onFailure: (error: unknown) => void
}

/** A job that runs now and again, without keeping the process alive. */
export interface BackgroundJob {
  /** The run under way; it never rejects. */
  underWay(): Promise<void> | undefined
  /** Why the newest run failed; undefined when it did not. */
  failure(): unknown
  /** Milliseconds until the next run. */
  untilNextMs(): number
  close(): void
}

/**
 * Runs a job at once and then for ever: after a success in a while, after a failure soon, then less and less soon. Each
 * wait is between half of its length and all of it, so that replicas do not come at the same moment.
 */
export function runInBackground(
  job: () => Promise<void>,
  options: BackgroundOptions,
): BackgroundJob {
  const { now, retry } = options
  let run: Promise<void> | undefined
  let failures = 0
  let failure: unknown
  let timer: NodeJS.Timeout | undefined
  let nextRunAtMs = 0
  let closed = false

  async function runOnce(): Promise<void> {
    try {
      await job()
      failures = 0
      failure = undefined
      if (!closed) options.onSuccess()
      schedule(options.everyMs)
    } catch (error) {
      failures += 1
      failure = error
      if (!closed) options.onFailure(error)
      schedule(Math.min(retry.firstMs * 2 ** (failures - 1), retry.longestMs))
    }
  }

  function start(): void {
    run = runOnce().finally(() => {
      run = undefined
    })
  }

  function schedule(delayMs: number): void {
    if (closed) return
    const jitteredMs = delayMs * (0.5 + Math.random() / 2)
    nextRunAtMs = now().getTime() + jitteredMs
    timer = setTimeout(start, jitteredMs)
    timer.unref()
  }

  start()
  return {
    underWay: () => run,
    failure: () => failure,
    untilNextMs: () => Math.max(0, nextRunAtMs - now().getTime()),
    close: () => {
      closed = true
      clearTimeout(timer)
    },
  }
}

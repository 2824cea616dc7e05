/** When a job is repeated, and callbacks for its results. */
export interface BackgroundOptions {
  /** Time from a success to the next run. */
  readonly everyMs: number
  /** First and longest wait after a failure; the wait doubles after each failure. */
  readonly retry: { readonly firstMs: number; readonly longestMs: number }
  readonly onSuccess: () => void
  readonly onFailure: (error: unknown) => void
}

/** A repeated job that does not keep the process alive. */
export interface BackgroundJob {
  /** The run under way; it never rejects. */
  underWay(): Promise<void> | undefined
  /** Error of the latest run; undefined when it succeeded. */
  failure(): unknown
  /** Milliseconds until the next run. */
  untilNextMs(): number
  close(): void
}

/**
 * Runs a job now, and then repeatedly: at a fixed interval after a success, with increasing waits after failures.
 * Each wait is shortened by a random part of up to one half, so that replicas do not run at the same moment.
 */
export function runInBackground(
  job: () => Promise<void>,
  options: BackgroundOptions,
): BackgroundJob {
  const { retry } = options
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
    nextRunAtMs = performance.now() + jitteredMs
    timer = setTimeout(start, jitteredMs)
    timer.unref()
  }

  start()
  return {
    underWay: () => run,
    failure: () => failure,
    untilNextMs: () => Math.max(0, nextRunAtMs - performance.now()),
    close: () => {
      closed = true
      clearTimeout(timer)
    },
  }
}

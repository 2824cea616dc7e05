/** Ends every request at its deadline. */
import type { ServerResponse } from 'node:http'
import { TtsError } from '../base/errors.ts'

/** Returns a signal that aborts when the client disconnects, or after `timeoutMs` milliseconds. */
export function requestSignal(response: ServerResponse, timeoutMs: number): AbortSignal {
  const controller = new AbortController()
  const timer = setTimeout(
    () => controller.abort(new DOMException('the deadline has passed', 'TimeoutError')),
    timeoutMs,
  )
  response.once('close', () => {
    clearTimeout(timer)
    if (!response.writableFinished) controller.abort()
  })
  return controller.signal
}

/** Requests to a provider observe the signal themselves. Their error is more precise, so they get time to report it. */
const GRACE_MS = 250

/**
 * Returns the result of the work, unless the signal aborts first. In that case the work goes on, and its result is
 * recorded but not sent.
 *
 * @throws {TtsError} `overloaded`, check `deadline`
 */
export async function withinSignal<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined
    const startGracePeriod = (): void => {
      timer = setTimeout(() => reject(tooLate()), GRACE_MS)
    }
    if (signal.aborted) startGracePeriod()
    signal.addEventListener('abort', startGracePeriod, { once: true })
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', startGracePeriod)
      clearTimeout(timer)
    })
  })
}

function tooLate(): TtsError {
  return new TtsError('overloaded', 'the service could not answer the request in time', {
    check: 'deadline',
    remedy: 'Raise limits.request_timeout_seconds, or find out why the service is slow.',
    retryAfterSeconds: 5,
  })
}

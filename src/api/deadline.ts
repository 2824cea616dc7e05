/** No request waits longer than its deadline, whatever it waits for. */
import type { ServerResponse } from 'node:http'
import { TtsError } from '../base/errors.ts'

/** Ends when the client goes away, or after this time. */
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

/** What waits for a provider heeds the signal itself and tells better what was missing: it goes first. */
const GRACE_MS = 250

/**
 * The work's outcome, unless the signal ends first: then what is still done comes to nobody, and is on record all the same.
 *
 * @throws {TtsError} `overloaded`, check `deadline`
 */
export async function withinSignal<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined
    const abandon = (): void => {
      timer = setTimeout(() => reject(tooLate()), GRACE_MS)
    }
    if (signal.aborted) abandon()
    signal.addEventListener('abort', abandon, { once: true })
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', abandon)
      clearTimeout(timer)
    })
  })
}

function tooLate(): TtsError {
  return new TtsError('overloaded', 'the request could not be answered in time', {
    check: 'deadline',
    remedy: 'Raise limits.request_timeout_seconds if requests need more time.',
    retryAfterSeconds: 5,
  })
}

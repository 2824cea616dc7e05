/** Waiting that can be given up. */
import { TtsError } from '../../base/errors.ts'

/**
 * What the promise settles with; the work itself goes on when the waiting is given up.
 *
 * @throws {TtsError} `overloaded` when the signal is aborted first
 */
export async function settledOrAborted<Value>(
  promise: Promise<Value>,
  signal: AbortSignal,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void =>
      reject(
        new TtsError('overloaded', 'the renewal did not end in time; it goes on', {
          retryAfterSeconds: 5,
        }),
      )
    if (signal.aborted) giveUp()
    signal.addEventListener('abort', giveUp, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp))
  })
}

/** A promise that is settled from outside. */
export function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

/** Waiting for a renewal that can be given up. */
import { unlessAborted } from '../../base/async.ts'
import { TtsError } from '../../base/errors.ts'

/**
 * What the renewal settles with; it goes on when the waiting is given up.
 *
 * @throws {TtsError} `overloaded` when the signal is aborted first
 */
export async function settledOrAborted<Value>(
  renewal: Promise<Value>,
  signal: AbortSignal,
): Promise<Value> {
  return unlessAborted(
    renewal,
    signal,
    () =>
      new TtsError('overloaded', 'the renewal did not end in time; it goes on', {
        retryAfterSeconds: 5,
      }),
  )
}

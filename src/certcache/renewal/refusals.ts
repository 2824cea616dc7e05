/** The errors of an engine that cannot return a proxy. */
import { unlessAborted } from '../../base/async.ts'
import { TtsError, type TtsErrorCode } from '../../base/errors.ts'
import type { Outcome } from './outcomes.ts'

export const shuttingDown = (): TtsError =>
  new TtsError('shutting_down', 'this certcache is shutting down', { retryAfterSeconds: 5 })

export const firstProxyPending = (): TtsError =>
  new TtsError('overloaded', 'the first proxy is still being requested', { retryAfterSeconds: 5 })

/**
 * Waits for a renewal. The renewal itself continues when the signal is aborted.
 *
 * @throws {TtsError} `overloaded` when the signal is aborted first
 */
export async function awaitRenewal<Value>(
  renewal: Promise<Value>,
  signal: AbortSignal,
): Promise<Value> {
  return unlessAborted(
    renewal,
    signal,
    () =>
      new TtsError('overloaded', 'the renewal takes too long; it continues in the background', {
        retryAfterSeconds: 5,
      }),
  )
}

/** The error between two attempts: repeats `failure` of the newest attempt; the next one is made at `at`. */
export function retryLater(failure: TtsError | undefined, at: Date, now: Date): TtsError {
  const { code, message, check, remedy } = failure ?? firstProxyPending()
  return new TtsError(code, message, {
    retryAfterSeconds: Math.max(1, Math.ceil((at.getTime() - now.getTime()) / 1000)),
    ...(check === undefined ? {} : { check }),
    ...(remedy === undefined ? {} : { remedy }),
  })
}

/** The error when the certcache that holds the lock was asked for a renewal and did not finish it in time. */
export const lockHeldElsewhere = (name: string): TtsError =>
  new TtsError(
    'overloaded',
    `another certcache renews ${name} for this state, and did not do so in time`,
    {
      check: 'lock_elsewhere',
      retryAfterSeconds: 5,
      remedy: 'Run `certcache status` to see why.',
    },
  )

/** The error of the certcache that holds the lock. */
export function renewalFailedElsewhere(name: string, outcome: Outcome | undefined): TtsError {
  const error = outcome?.last_error
  if (error === undefined) return lockHeldElsewhere(name)
  const { code, message, remedy } = error
  return new TtsError(
    code as TtsErrorCode,
    `another certcache with this state could not renew ${name}: ${message}`,
    remedy === undefined ? {} : { remedy },
  )
}

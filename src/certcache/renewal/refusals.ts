/** Why an engine answers no proxy. */
import { TtsError, type TtsErrorCode } from '../../base/errors.ts'
import type { Outcome } from './outcomes.ts'

export const stopping = (): TtsError =>
  new TtsError('shutting_down', 'this certcache is stopping', { retryAfterSeconds: 5 })

export const tooLong = (): TtsError =>
  new TtsError('overloaded', 'the first proxy is still being obtained', { retryAfterSeconds: 5 })

/** Nothing is tried before `at`; `failure` says why the newest attempt failed. */
export function notNow(failure: TtsError | undefined, at: Date, now: Date): TtsError {
  const { code, message, check, remedy } = failure ?? tooLong()
  return new TtsError(code, message, {
    retryAfterSeconds: Math.max(1, Math.ceil((at.getTime() - now.getTime()) / 1000)),
    ...(check === undefined ? {} : { check }),
    ...(remedy === undefined ? {} : { remedy }),
  })
}

/** Another certcache holds the lock, was asked, and nothing came of it in time. */
export const elsewhere = (name: string): TtsError =>
  new TtsError(
    'overloaded',
    `another certcache keeps ${name} fresh with this state, and has not renewed it in time`,
    {
      check: 'lock_elsewhere',
      retryAfterSeconds: 5,
      remedy: 'Run `certcache status`, which asks the other certcache for the reason.',
    },
  )

/** Why the other one could not. */
export function failedElsewhere(name: string, outcome: Outcome | undefined): TtsError {
  const error = outcome?.last_error
  if (error === undefined) return elsewhere(name)
  const { code, message, remedy } = error
  return new TtsError(
    code as TtsErrorCode,
    `another certcache of this state could not renew ${name}: ${message}`,
    remedy === undefined ? {} : { remedy },
  )
}

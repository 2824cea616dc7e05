/** Errors on their way between processes: codes and words go, classes and stacks do not. */
import { TtsError } from './errors.ts'
import { redactText } from './redact.ts'

/** An error in a form that crosses processes. */
export interface ToldError {
  readonly code: string
  readonly message: string
  readonly check?: string | undefined
  readonly remedy?: string | undefined
  readonly retry_after_seconds?: number | undefined
  /** For the log. */
  readonly cause?: string | undefined
}

/** Tells an error; of what is not ours, what it says is for the log alone. */
export function tellError(error: unknown): ToldError {
  if (!(error instanceof TtsError))
    return { code: 'internal', message: 'the custodian failed', cause: inWords(error) }
  const { code, message, check, remedy, retryAfterSeconds, cause } = error
  return {
    code,
    message,
    check,
    remedy,
    retry_after_seconds: retryAfterSeconds,
    cause: cause === undefined ? undefined : inWords(cause),
  }
}

/** The same error on the other side. */
export function toldError(told: ToldError): TtsError {
  const { code, message, check, remedy, retry_after_seconds: retryAfterSeconds, cause } = told
  return new TtsError(code as TtsError['code'], message, {
    ...(check === undefined ? {} : { check }),
    ...(remedy === undefined ? {} : { remedy }),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    ...(cause === undefined ? {} : { cause: new Error(cause) }),
  })
}

function inWords(error: unknown): string {
  // Its message quotes what it could not parse, secrets among it.
  if (error instanceof SyntaxError) return 'SyntaxError'
  return error instanceof Error ? redactText(`${error.name}: ${error.message}`) : 'not an error'
}

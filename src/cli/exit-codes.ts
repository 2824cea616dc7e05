/** Exit codes of the command line. They are stable, and documented in docs/command-line.md. */
import { TtsError, type TtsErrorCode } from '../base/errors.ts'
import { isMachineFault } from '../base/system-error.ts'

export const exitCodes = {
  /** Success. */
  done: 0,
  /** The command failed, a check failed, or a proxy has expired. */
  failed: 1,
  /** Wrong usage, or an invalid configuration. */
  usage: 2,
  /** The token is missing, refused, or does not allow the action. */
  refused: 3,
  /** The service, a provider or the database is unreachable or busy; try again later. */
  unavailable: 4,
  /** The object or file does not exist. */
  notFound: 5,
  /** `tts proxy info --explain`: a relying party would refuse the proxy. */
  wouldBeRefused: 6,
} as const

const byCode: Partial<Record<TtsErrorCode, number>> = {
  invalid_request: exitCodes.usage,
  invalid_csr: exitCodes.usage,
  configuration: exitCodes.usage,
  missing_token: exitCodes.refused,
  invalid_token: exitCodes.refused,
  insufficient_scope: exitCodes.refused,
  access_denied: exitCodes.refused,
  grant_refused: exitCodes.refused,
  delegation_ended: exitCodes.refused,
  limit_reached: exitCodes.unavailable,
  provider_unavailable: exitCodes.unavailable,
  store_unavailable: exitCodes.unavailable,
  overloaded: exitCodes.unavailable,
  shutting_down: exitCodes.unavailable,
  not_found: exitCodes.notFound,
}

/** Returns the exit code for an error. */
export function exitCodeOf(error: unknown): number {
  // A full disk is not wrong usage.
  if (!(error instanceof TtsError) || isMachineFault(error)) return exitCodes.failed
  return byCode[error.code] ?? exitCodes.failed
}

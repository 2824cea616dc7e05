/** Exit codes of the command line: documented in docs/command-line.md, and stable. */
import { TtsError, type TtsErrorCode } from '../base/errors.ts'

export const exitCodes = {
  /** All went well. */
  done: 0,
  /** It failed, or what was asked about is not well: a check failed, a proxy has ended. */
  failed: 1,
  /** Wrong usage, or a configuration that cannot be used. */
  usage: 2,
  /** The token is missing, refused, or does not allow this. */
  refused: 3,
  /** Something that is needed cannot be reached or is busy; try again later. */
  unavailable: 4,
  /** There is no such credential or file. */
  notFound: 5,
  /** `tts proxy info --explain`: some relying party would refuse the proxy. */
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

/** The exit code that an error ends the program with. */
export function exitCodeOf(error: unknown): number {
  return error instanceof TtsError ? (byCode[error.code] ?? exitCodes.failed) : exitCodes.failed
}

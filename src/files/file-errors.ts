/** Makes the errors of files that cannot be read or written: the reason in words, and what to do. */
import { TtsError, type TtsErrorCode } from '../base/errors.ts'
import { fileErrorReason, fileErrorRemedy, systemErrorCode } from '../base/system-error.ts'

/** Further properties of the error. */
export interface FileErrorOptions {
  /** Default: `not_found` for a missing file, otherwise `invalid_request` (read) or `configuration` (written). */
  readonly code?: TtsErrorCode
  readonly check?: string
  /** Replaces the remedy for the reason. */
  readonly remedy?: string | undefined
}

/** Returns the error for a file that cannot be read. A TtsError stays. @param name the path, with what it is */
export function cannotRead(name: string, cause: unknown, options: FileErrorOptions = {}): TtsError {
  if (cause instanceof TtsError) return cause
  const isMissing = ['ENOENT', 'ENOTDIR'].includes(systemErrorCode(cause) ?? '')
  return fileError(`${name} cannot be read`, cause, {
    code: isMissing ? 'not_found' : 'invalid_request',
    ...options,
  })
}

/** Returns the error for a file or directory that cannot be written. A TtsError stays. */
export function cannotWrite(
  name: string,
  cause: unknown,
  options: FileErrorOptions = {},
): TtsError {
  if (cause instanceof TtsError) return cause
  return fileError(`${name} cannot be written`, cause, options)
}

/** Returns the error for another operation; `problem` is the sentence before the reason. A TtsError stays. */
export function fileError(
  problem: string,
  cause: unknown,
  options: FileErrorOptions = {},
): TtsError {
  if (cause instanceof TtsError) return cause
  const { code = 'configuration', check, remedy = fileErrorRemedy(cause) } = options
  return new TtsError(code, `${problem}: ${fileErrorReason(cause)}`, {
    ...(check === undefined ? {} : { check }),
    ...(remedy === undefined ? {} : { remedy }),
    cause,
  })
}

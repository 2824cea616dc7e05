/** Parsers for numbers and durations on the command line. */
import { TtsError } from '../base/errors.ts'

/** @throws {TtsError} `invalid_request` */
export function wholeNumberOption(text: string): number {
  if (!/^\d{1,9}$/.test(text))
    throw new TtsError('invalid_request', `"${text}" must be a whole number`)
  return Number(text)
}

/**
 * Parses the number of lines to print, 1 to 1000.
 *
 * @throws {TtsError} `invalid_request`
 */
export function pageSize(text: string): number {
  const size = wholeNumberOption(text)
  if (size >= 1 && size <= 1000) return size
  throw new TtsError('invalid_request', `"${text}" must be a number from 1 to 1000`)
}

/**
 * Parses a time limit, a second to an hour, and returns seconds.
 *
 * @throws {TtsError} `invalid_request`
 */
export function waitSeconds(text: string): number {
  const seconds = duration(text)
  if (seconds >= 1 && seconds <= 3600) return seconds
  throw new TtsError('invalid_request', `"${text}" must be a number of seconds from 1 to 3600`)
}

/** Longer durations are typing errors. Ten years. */
const MAX_SECONDS = 10 * 366 * 86_400

/**
 * Parses a duration and returns seconds: `3600`, `45m`, `12h30m`, `4d`, or `96:00` (hours and minutes, as in
 * grid-proxy-init -valid).
 *
 * @throws {TtsError} `invalid_request`
 */
export function duration(text: string): number {
  const seconds = clockTime(text) ?? unitTime(text)
  if (seconds !== undefined && seconds <= MAX_SECONDS) return seconds
  throw new TtsError(
    'invalid_request',
    `"${text}" must be a duration, for example 3600, 45m, 12h30m, 4d or 96:00 (hours:minutes)`,
  )
}

/** Reads hours and minutes, and maybe seconds. */
function clockTime(text: string): number | undefined {
  const [, hours, minutes, seconds = '0'] = /^(\d{1,5}):([0-5]?\d)(?::([0-5]\d))?$/.exec(text) ?? []
  return hours === undefined
    ? undefined
    : Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)
}

/** Reads numbers with units, the largest unit first; a number alone is seconds. */
function unitTime(text: string): number | undefined {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  const [match, ...counts] =
    /^(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?$/.exec(text) ?? []
  if (match === undefined || match === '') return undefined
  const units = [86_400, 3600, 60, 1]
  return units.reduce((sum, size, index) => sum + Number(counts[index] ?? 0) * size, 0)
}

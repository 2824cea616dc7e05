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
 * Parses a time limit in seconds, 1 to 3600.
 *
 * @throws {TtsError} `invalid_request`
 */
export function waitSeconds(text: string): number {
  const seconds = wholeNumberOption(text)
  if (seconds >= 1 && seconds <= 3600) return seconds
  throw new TtsError('invalid_request', `"${text}" must be a number of seconds from 1 to 3600`)
}

/**
 * Parses a duration and returns seconds: `3600`, `45m`, `12h`, `4d`, or `96:00` (hours and minutes, as in
 * grid-proxy-init -valid).
 *
 * @throws {TtsError} `invalid_request`
 */
export function duration(text: string): number {
  const [, hours, minutes] = /^(\d{1,5}):([0-5]\d)$/.exec(text) ?? []
  if (hours !== undefined) return Number(hours) * 3600 + Number(minutes) * 60
  const [, count, unit = 's'] = /^(\d{1,9})([smhd]?)$/.exec(text) ?? []
  if (count === undefined)
    throw new TtsError(
      'invalid_request',
      `"${text}" must be a duration, for example 3600, 45m, 12h, 4d or 96:00`,
    )
  return Number(count) * ({ s: 1, m: 60, h: 3600, d: 86_400 }[unit] ?? 1)
}

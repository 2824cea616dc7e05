/**
 * The words for problems that a schema finds. Those of the library ("Too small: expected number to be >=60") are not
 * for people. A message in a schema has precedence.
 */
import type { z } from 'zod'

/** The message for a name in a mapping; the issue below it says what the name must be. */
export const INVALID_NAME = 'has an invalid name'

/** The error map for `safeParse(value, { error: validationWords })`. */
export const validationWords: z.core.$ZodErrorMap = (issue) => describe(issue)

/** Returns the problem of the alternative that has the value's type; for a union of schemas. */
export function unionProblem(issue: z.core.$ZodIssueInvalidUnion): string {
  const problems = issue.errors.flat()
  const best = problems.find(({ code }) => code !== 'invalid_type') ?? problems[0]
  return best?.message ?? issue.message
}

function describe(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'must be set' : `must be ${typeWords(issue.expected)}`
    case 'too_small':
      return smallWords(issue)
    case 'too_big':
      return bigWords(issue)
    case 'invalid_value':
      return valueWords(issue.values ?? [])
    case 'invalid_format':
      return formatWords(issue)
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`
    case 'unrecognized_keys':
      return 'has an unknown key'
    case 'invalid_union':
      return 'does not have one of the accepted forms'
    case 'invalid_key':
      return INVALID_NAME
    case 'invalid_element':
      return 'has an invalid entry'
    default:
      return 'is not valid'
  }
}

const types: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping of keys to values',
  record: 'a mapping of keys to values',
  null: 'null',
  date: 'a date',
}

const typeWords = (expected: string | undefined): string =>
  types[expected ?? ''] ?? 'of another type'

/** What is counted, by the origin of the issue; numbers are compared. */
const units: Readonly<Record<string, readonly [string, string]>> = {
  string: ['character', 'characters'],
  array: ['entry', 'entries'],
  set: ['entry', 'entries'],
  map: ['entry', 'entries'],
  file: ['byte', 'bytes'],
}

interface Bound {
  readonly origin?: string
  readonly inclusive?: boolean | undefined
}

function smallWords({
  origin,
  inclusive,
  minimum,
}: Bound & { readonly minimum?: unknown }): string {
  const unit = units[origin ?? '']
  if (unit === undefined)
    return `must be ${inclusive === false ? 'more than' : 'at least'} ${String(minimum)}`
  return minimum === 1 && origin === 'string'
    ? 'must not be empty'
    : `must have at least ${counted(minimum, unit)}`
}

function bigWords({ origin, inclusive, maximum }: Bound & { readonly maximum?: unknown }): string {
  const unit = units[origin ?? '']
  if (unit === undefined)
    return `must be ${inclusive === false ? 'less than' : 'at most'} ${String(maximum)}`
  return `must have at most ${counted(maximum, unit)}`
}

const counted = (count: unknown, [one, many]: readonly [string, string]): string =>
  `${String(count)} ${count === 1 ? one : many}`

function valueWords(values: readonly unknown[]): string {
  const list = values.map(String).join(', ')
  return values.length === 1 ? `must be ${list}` : `must be one of ${list}`
}

const formats: Readonly<Record<string, string>> = {
  url: 'must be a URL',
  email: 'must be an email address',
  uuid: 'must be a UUID',
  datetime: 'must be a time in ISO 8601 format, for example 2026-01-31T12:00:00Z',
  date: 'must be a date in ISO 8601 format, for example 2026-01-31',
  ipv4: 'must be an IPv4 address',
  ipv6: 'must be an IPv6 address',
  hostname: 'must be a host name',
  base64: 'must be base64',
}

function formatWords({
  format,
  pattern,
}: {
  readonly format?: string
  readonly pattern?: string | undefined
}): string {
  const known = Object.hasOwn(formats, format ?? '') ? formats[format ?? ''] : undefined
  return known ?? (pattern === undefined ? 'has a wrong format' : `must match ${pattern}`)
}

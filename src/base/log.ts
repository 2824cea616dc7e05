/**
 * The log: JSON lines by pino. Errors are written by an allow-list, because errors of libraries carry whole claim sets
 * and request bodies in fields of their own; whatever looks like a token or a key is cut out of texts.
 */
import { pino, type DestinationStream, type LogFn, type Logger } from 'pino'
import { redactText } from './redact.ts'

/** What the code logs with; pino's own logger fits. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error' | 'fatal'>

export interface LogOptions {
  readonly level: string
  readonly name: string
  /** Standard output when left out. */
  readonly destination?: DestinationStream
}

const REDACTED = '[redacted]'
/** Fields that hold secrets, wherever they stand. */
const secretFields: ReadonlySet<string> = new Set([
  'token',
  'access_token',
  'refresh_token',
  'client_secret',
  'passphrase',
  'authorization',
  'cookie',
  'password',
])

/** The logger of one process; `child` gives one per request. */
export function createLog({ level, name, destination }: LogOptions): Logger {
  const options = {
    level,
    base: { name },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: {
      level: (label: string) => ({ level: label }),
      log: (fields: Record<string, unknown>) => withoutNestedSecrets(fields),
    },
    serializers: { err: (error: unknown) => serializeError(error) },
    hooks: {
      // Texts too, and errors that are logged without one: pino then takes the error's own message.
      logMethod(this: Logger, args: Parameters<LogFn>, method: LogFn) {
        const [first, ...rest] = args as unknown[]
        const fields = first instanceof Error ? { err: first } : first
        const texts = first instanceof Error && rest.length === 0 ? [first.message] : rest
        const clean = [fields, ...texts].map((text) =>
          typeof text === 'string' ? redactText(text) : text,
        )
        Reflect.apply(method, this, clean)
      },
    },
    // Not by pino's own patterns (`*.token`): they cost more than all else of a line, and look one level deep.
    redact: { paths: [...secretFields], censor: REDACTED },
  }
  return destination ? pino(options, destination) : pino(options)
}

/** Most lines are flat, and stay as they are. */
function withoutNestedSecrets(fields: Record<string, unknown>): Record<string, unknown> {
  for (const name in fields) {
    if (typeof fields[name] === 'object' && fields[name] !== null)
      return withoutSecrets(fields, 0) as Record<string, unknown>
  }
  return fields
}

/** Errors, dates and the like have serializers of their own. */
function withoutSecrets(value: unknown, depth: number): unknown {
  const isList = Array.isArray(value)
  if (!isList && !isPlainObject(value)) return value
  if (depth > MAX_DEPTH) return REDACTED
  if (isList) return value.map((item: unknown) => withoutSecrets(item, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      secretFields.has(name) ? REDACTED : withoutSecrets(inner, depth + 1),
    ]),
  )
}

function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** The fields of an error that are logged. */
export interface LoggedError {
  readonly name: string
  readonly code?: string
  readonly message: string
  readonly stack?: string
  readonly cause?: LoggedError
}

const MAX_DEPTH = 4

/** Allow-list serializer: name, code, message, stack and cause, nothing else of an error. */
export function serializeError(error: unknown, depth = 0): LoggedError {
  if (!(error instanceof Error)) return { name: 'NonError', message: describeNonError(error) }
  const code: unknown = 'code' in error ? error.code : undefined
  return {
    name: error.name,
    ...(typeof code === 'string' ? { code } : {}),
    message: redactText(error.message),
    ...(error.stack !== undefined && depth === 0 ? { stack: redactText(error.stack) } : {}),
    ...(error.cause !== undefined && depth < MAX_DEPTH
      ? { cause: serializeError(error.cause, depth + 1) }
      : {}),
  }
}

/** Objects may refuse to become a text, or say too much. */
function describeNonError(thrown: unknown): string {
  const isPlain = thrown === null || !['object', 'function'].includes(typeof thrown)
  return isPlain ? redactText(String(thrown)) : `a thrown ${typeof thrown}`
}

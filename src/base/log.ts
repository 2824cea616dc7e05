/**
 * The log: JSON lines by pino. Only an allow-list of an error's fields is written, because errors of libraries hold
 * whole claim sets and request bodies. Text that looks like a token or a key is redacted.
 */
import { pino, type DestinationStream, type LogFn, type Logger } from 'pino'
import { redactText } from './redact.ts'

/** The logger; one of pino has this type. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error' | 'fatal'>

export interface LogOptions {
  readonly level: string
  readonly name: string
  /** Default: standard output. */
  readonly destination?: DestinationStream
}

const REDACTED = '[redacted]'
/** Names of fields with secrets, at any depth. */
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

/** Creates the logger of a process; its `child` makes one for each request. */
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
      // Redacts messages, too, and errors without a message: pino then uses the message of the error.
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
    // Fields of child loggers, too, which pino passes to no formatter. Its patterns (`*.token`) are not used: they are
    // slow and match at one level only.
    redact: { paths: [...secretFields], censor: REDACTED },
  }
  return destination ? pino(options, destination) : pino(options)
}

/** Redacts nested fields. Most lines are flat and are returned unchanged. */
function withoutNestedSecrets(fields: Record<string, unknown>): Record<string, unknown> {
  for (const name in fields) {
    if (typeof fields[name] === 'object' && fields[name] !== null)
      return withoutSecrets(fields, 0) as Record<string, unknown>
  }
  return fields
}

/** Redacts plain objects and lists only: errors, dates and the like have their own serializers. */
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

/** Serialises only name, code, message, stack and cause of an error, with secrets redacted. */
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

/** Does not convert objects to text, which may fail or reveal too much. */
function describeNonError(thrown: unknown): string {
  const isPlain = thrown === null || !['object', 'function'].includes(typeof thrown)
  return isPlain ? redactText(String(thrown)) : `a thrown ${typeof thrown}`
}

/**
 * What the service and its custodian say to each other: lines of JSON, the order first, then questions one way, and
 * answers, refusals and log lines the other. Secrets travel here and nowhere else.
 */
import type { Readable } from 'node:stream'
import type { StoreSettings } from '../config/store-schema.ts'
import type { Origin } from '../domain/records.ts'
import { TtsError } from '../errors.ts'
import { redactText } from '../log.ts'

/** Our client at one provider. */
export interface ProviderOrder {
  readonly id: string
  readonly issuer: string
  readonly client_id: string
  readonly client_secret: string | undefined
  readonly audience: string | undefined
  readonly timeout_ms: number
  readonly lifetime_days: number | undefined
}

/** All that a custodian needs; secrets among it. */
export interface CustodianOrder {
  /** `path` is absolute. */
  readonly store: StoreSettings
  /** The schema that the service works with: a custodian of another version must not change it under its feet. */
  readonly schema: string
  readonly master_keys: string
  readonly providers: readonly ProviderOrder[]
  readonly maximum_days: number
  /** What PostgreSQL's library reads from the environment (PGPASSWORD). */
  readonly environment: Readonly<Record<string, string>>
}

/** What is asked of the custodian. */
export type Question =
  | { readonly refresh: { readonly delegation: string; readonly origin: Origin } }
  | { readonly store_unsaved: true }

/** What it answers. */
export type Answer =
  | { readonly refreshed: { readonly access_token: string; readonly renews_until: string } }
  | { readonly all_saved: boolean }
  | { readonly error: ToldError }

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'fatal'

/** One line of the custodian. */
export type Message =
  | { readonly id: number; readonly answer: Answer }
  /** It cannot work, and ends. */
  | { readonly failed: ToldError }
  | {
      readonly log: {
        readonly level: LogLevel
        readonly fields: Readonly<Record<string, unknown>>
        readonly message: string
      }
    }

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
  return error instanceof Error ? redactText(`${error.name}: ${error.message}`) : 'not an error'
}

/** Answers are a few kilobytes; an order has one provider after the other. */
const MAX_LINE_LENGTH = 4 * 1024 * 1024

/** Hands over each whole line. What comes after the last line feed was cut short, and is nothing. */
export function onLines(stream: Readable, take: (line: string) => void): void {
  let rest = ''
  stream.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) take(line)
    if (rest.length > MAX_LINE_LENGTH) stream.destroy()
  })
}

/**
 * What the service and its custodian say to each other: lines of JSON, the order first, then questions one way, and
 * answers, refusals and log lines the other. Secrets travel here and nowhere else.
 */
import type { Readable } from 'node:stream'
import type { StoreSettings } from '../config/store-schema.ts'
import type { Origin } from '../domain/records.ts'
import type { ToldError } from '../told-error.ts'

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

/** A line of the custodian; undefined for what a library or the platform may print there. */
export function messageOf(line: string): Message | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(line)
  } catch {
    return undefined
  }
  const isMessage =
    isObject(parsed) &&
    (isObject(parsed['log']) || isObject(parsed['failed']) || isObject(parsed['answer']))
  return isMessage ? (parsed as Message) : undefined
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
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

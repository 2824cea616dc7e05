/**
 * Every error that the service answers with, by code. No HTTP here: `src/api/error-codes.ts` alone gives a code its
 * status. Decide on `code`, never on message text.
 */
export type TtsErrorCode =
  | 'invalid_request' // what the caller sent cannot be understood or is out of bounds
  | 'invalid_csr' // the certificate signing request was refused
  | 'payload_too_large'
  | 'request_timeout' // the body did not arrive in time
  | 'expectation_failed' // an Expect header that nobody here understands (RFC 9110 section 10.1.1)
  | 'unsupported_media_type'
  | 'not_acceptable'
  | 'method_not_allowed'
  | 'missing_token' // no bearer token at all
  | 'invalid_token' // a token, but not one that is valid here (RFC 6750 section 3.1)
  | 'insufficient_scope' // a valid token that lacks a scope (RFC 6750 section 3.1)
  | 'access_denied' // a valid token whose claims the service's rules do not let in
  | 'grant_refused' // the OpenID provider refuses a token exchange, refresh or login, and will again
  | 'delegation_ended' // renewal is over for good: a new token is needed
  | 'not_found'
  | 'conflict'
  | 'limit_reached' // too many requests
  | 'provider_unavailable' // the OpenID provider did not answer in time or sensibly
  | 'plugin_failed' // the plugin of a service gave nothing of use
  | 'store_unavailable' // the database did not answer in time
  | 'overloaded' // a queue is full
  | 'shutting_down'
  | 'configuration' // the operator must fix something; only at start and on the command line
  | 'internal'

/** What an error carries besides its code. */
export interface TtsErrorOptions {
  /** The name of the check that failed, for example `audience`; goes into the answer, the log and the audit trail. */
  readonly check?: string
  /** What the operator can do about it (a setting, a switch of the provider); for the log and `tts check` only. */
  readonly remedy?: string
  /** Seconds after which the caller may try again. */
  readonly retryAfterSeconds?: number
  /** The scopes that were wanted (RFC 6750 section 3, attribute `scope`). */
  readonly scope?: string
  /** The underlying error, for the log. Never shown to the caller. */
  readonly cause?: unknown
}

/**
 * An error with two audiences: `message` is for the caller and never carries a token, a key, a claim set or a
 * body; `remedy` and `cause` are for the operator's log.
 */
export class TtsError extends Error {
  readonly code: TtsErrorCode
  readonly check: string | undefined
  readonly remedy: string | undefined
  readonly retryAfterSeconds: number | undefined
  readonly scope: string | undefined

  constructor(code: TtsErrorCode, message: string, options: TtsErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'TtsError'
    this.code = code
    this.check = options.check
    this.remedy = options.remedy
    this.retryAfterSeconds = options.retryAfterSeconds
    this.scope = options.scope
  }
}

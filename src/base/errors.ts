/**
 * The codes of all errors of the service. Only `src/api/error-codes.ts` maps them to HTTP statuses. Decide on `code`,
 * never on the message.
 */
export type TtsErrorCode =
  | 'invalid_request' // the request is malformed or out of bounds
  | 'invalid_csr' // the certificate signing request was refused
  | 'payload_too_large'
  | 'request_timeout' // the body did not arrive in time
  | 'expectation_failed' // unsupported Expect header (RFC 9110 section 10.1.1)
  | 'unsupported_media_type'
  | 'not_acceptable'
  | 'method_not_allowed'
  | 'missing_token' // the request has no bearer token
  | 'invalid_token' // the token is not valid here (RFC 6750 section 3.1)
  | 'insufficient_scope' // the token is valid but lacks a scope (RFC 6750 section 3.1)
  | 'access_denied' // the token is valid but the rules of the service refuse its claims
  | 'grant_refused' // the OpenID provider refuses a token exchange, refresh or login; repeating it does not help
  | 'delegation_ended' // renewal has ended for good: a new token is needed
  | 'not_found'
  | 'conflict'
  | 'limit_reached' // too many requests
  | 'provider_unavailable' // the OpenID provider gave no valid answer in time
  | 'plugin_failed' // the plugin of a service failed or gave an unusable answer
  | 'store_unavailable' // the database did not answer in time
  | 'overloaded' // a queue is full
  | 'shutting_down'
  | 'configuration' // the operator must fix something; only at start and on the command line
  | 'internal'

/** Further properties of an error. */
export interface TtsErrorOptions {
  /** Name of the failed check, for example `audience`; shown in the answer, the log and the audit trail. */
  readonly check?: string
  /** What the operator can do, as full sentences; shown only in the log and by commands. */
  readonly remedy?: string
  /** Seconds after which the caller may try again. */
  readonly retryAfterSeconds?: number
  /** The required scopes (RFC 6750 section 3, attribute `scope`). */
  readonly scope?: string
  /** The audiences of which the token needs one; shown to the caller. From the configuration, never from a token. */
  readonly audiences?: readonly string[]
  /** The underlying error, for the log. Never shown to the caller. */
  readonly cause?: unknown
}

/**
 * An error with two audiences. `message` is for the caller and must never hold a token, a key, a claim set or a body.
 * `remedy` and `cause` are for the operator's log.
 */
export class TtsError extends Error {
  readonly code: TtsErrorCode
  readonly check: string | undefined
  readonly remedy: string | undefined
  readonly retryAfterSeconds: number | undefined
  readonly scope: string | undefined
  readonly audiences: readonly string[] | undefined

  constructor(code: TtsErrorCode, message: string, options: TtsErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'TtsError'
    this.code = code
    this.check = options.check
    this.remedy = options.remedy
    this.retryAfterSeconds = options.retryAfterSeconds
    this.scope = options.scope
    this.audiences = options.audiences
  }
}

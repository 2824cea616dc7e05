/** What is asked of a provider, what it answers when it refuses, and what we call that. */

/** What is asked of the provider. */
export type GrantKind = 'exchange' | 'refresh' | 'device' | 'code' | 'revocation'

/** Why a grant is refused, as it is named in answers, logs and the ledger. */
export type GrantCheck =
  | 'same_client'
  | 'scope_missing'
  | 'scope_not_allowed'
  | 'audience_not_allowed'
  | 'grant_not_enabled'
  | 'subject_token_refused'
  | 'aup_not_signed'
  | 'user_disabled'
  | 'refresh_token_dead'
  | 'offline_access_refused'
  | 'device_denied'
  | 'device_expired'
  | 'login_denied'
  | 'login_expired'
  | 'client_refused'
  | 'request_refused' // an error that we do not know

/** An answer of the token endpoint that is no success. The description may quote a token: it is only looked at. */
export interface ErrorAnswer {
  readonly status: number
  /** OAuth `error` (RFC 6749 section 5.2); undefined when the answer was no OAuth error. */
  readonly error: string | undefined
  readonly description: string
  readonly retryAfterSeconds: number | undefined
}

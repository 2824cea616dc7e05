/** Types of grants, of error answers and of refusals. */

/** The kind of request to the provider. */
export type GrantKind = 'exchange' | 'refresh' | 'device' | 'code' | 'revocation'

/** Why a grant is refused; these names appear in answers, logs and the ledger. */
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

/** An error answer of the token endpoint. The description may quote a token, so it must not be passed on. */
export interface ErrorAnswer {
  readonly status: number
  /** OAuth `error` (RFC 6749 section 5.2); undefined when the answer is not an OAuth error. */
  readonly error: string | undefined
  readonly description: string
  readonly retryAfterSeconds: number | undefined
}

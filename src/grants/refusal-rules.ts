import type { ErrorAnswer, GrantCheck, GrantKind } from './refusal-types.ts'

/** Recognises one kind of refusal; all given members must match. */
interface RefusalRule {
  /** Default: any grant. */
  readonly grants?: readonly GrantKind[]
  readonly status?: number
  /** OAuth errors (RFC 6749 section 5.2, RFC 8693 section 2.2.2, RFC 8628 section 3.5). Default: any. */
  readonly errors?: readonly string[]
  readonly description?: RegExp
  readonly check: GrantCheck
}

/**
 * Error answers of INDIGO IAM (1.12 and later), Keycloak, Ory Hydra and the RFCs. The first matching rule decides.
 * Rules with descriptions come first, because providers use one error for several causes: IAM answers 401
 * `unauthorized` for a suspended user.
 */
const rules: readonly RefusalRule[] = [
  // IAM: "User x needs to sign AUP for this organization in order to proceed."
  { description: /\bAUP\b|acceptable use/i, check: 'aup_not_signed' },
  // IAM: "User x is not active."; Keycloak: "User disabled", "User not found".
  {
    description:
      /\b(user|account)\b.{0,80}\b(not active|inactive|disabled|suspended|locked|not found)\b/i,
    check: 'user_disabled',
  },
  // IAM: "... the actor and the subject are the same client and offline_access is in the requested scopes".
  {
    grants: ['exchange'],
    errors: ['access_denied'],
    description: /same client|its own token/i,
    check: 'same_client',
  },
  // Keycloak: "Scope offline_access not allowed for token exchange", "... creating a new session is needed",
  // "requested_token_type unsupported" (the client may not get refresh tokens by exchange).
  {
    grants: ['exchange'],
    errors: ['invalid_request', 'invalid_scope'],
    description:
      /offline_access not allowed for token exchange|new session is needed|requested_token_type unsupported/i,
    check: 'offline_access_refused',
  },
  // IAM: "The scope parameter is required for a token exchange request!".
  {
    grants: ['exchange', 'device', 'code'],
    errors: ['invalid_request', 'invalid_scope'],
    description: /scope.{0,30}\b(required|missing)\b|missing.{0,30}\bscope/i,
    check: 'scope_missing',
  },
  // IAM: "Client does not own the presented refresh token".
  {
    grants: ['refresh'],
    description: /does not own the presented refresh token/i,
    check: 'refresh_token_dead',
  },
  // IAM: "Bad credentials" (also for an unknown client), "Client is suspended: x"; Keycloak: "Invalid client or Invalid
  // client credentials".
  {
    errors: ['invalid_client', 'unauthorized_client', 'unauthorized'],
    description:
      /credentials|client secret|client.{0,60}\bsuspended|suspended client|client disabled/i,
    check: 'client_refused',
  },
  // Keycloak: the exchanging client must be in the token's aud.
  {
    grants: ['exchange'],
    description: /not within the token audience/i,
    check: 'subject_token_refused',
  },
  // IAM: "Unauthorized grant type", "Client does not allow refreshing access token!"; Keycloak: "Standard token
  // exchange is not enabled for the requested client", "Public client is not allowed to exchange token", "The flow is
  // disabled ...".
  {
    description:
      /grant[ _]type|exchange is not enabled|not allow refreshing|not allowed (to (exchange|initiate)|for this client)|flow is disabled/i,
    check: 'grant_not_enabled',
  },
  // Hydra about a grant type that it does not know, such as token exchange: "Make sure that the various parameters are
  // correct, ... has exactly whitelisted the redirect_uri you specified."
  {
    grants: ['exchange'],
    errors: ['invalid_request'],
    description: /exactly whitelisted the redirect_uri/i,
    check: 'grant_not_enabled',
  },
  {
    errors: ['unauthorized_client', 'unsupported_grant_type', 'unsupported_response_type'],
    check: 'grant_not_enabled',
  },
  // Keycloak: "Requested audience not available: x", "Audience not found"; Hydra: "Requested audience 'x' has not been
  // whitelisted by the OAuth 2.0 Client."
  {
    grants: ['exchange', 'refresh', 'device', 'code'],
    description:
      /audience.{0,20}\bnot (available|found|allowed)|audience\b.{1,300}\bnot been whitelisted/i,
    check: 'audience_not_allowed',
  },
  { errors: ['invalid_target'], check: 'audience_not_allowed' },
  { errors: ['invalid_scope', 'insufficient_scope'], check: 'scope_not_allowed' },
  { grants: ['device'], errors: ['access_denied'], check: 'device_denied' },
  { grants: ['device'], errors: ['expired_token', 'invalid_grant'], check: 'device_expired' },
  { grants: ['code'], errors: ['access_denied', 'consent_required'], check: 'login_denied' },
  { grants: ['code'], errors: ['invalid_grant'], check: 'login_expired' },
  // IAM: "No policy found authorizing this exchange", "Token exchange not allowed".
  { grants: ['exchange'], errors: ['access_denied'], check: 'grant_not_enabled' },
  // IAM: 401 invalid_token "Access token for value <the token> was not found"; Keycloak: 400 invalid_request "Invalid
  // token".
  {
    grants: ['exchange'],
    errors: ['invalid_token', 'invalid_grant'],
    check: 'subject_token_refused',
  },
  {
    grants: ['exchange'],
    errors: ['invalid_request'],
    description: /invalid token|subject_token\b/i,
    check: 'subject_token_refused',
  },
  // IAM answers 401 invalid_token "Refresh token for value <the token> was not found", or "Invalid refresh token: ...".
  { grants: ['refresh'], errors: ['invalid_grant', 'invalid_token'], check: 'refresh_token_dead' },
  { errors: ['invalid_client', 'unauthorized'], check: 'client_refused' },
  { status: 401, check: 'client_refused' },
]

/** OAuth errors that are temporary. */
const TEMPORARY = new Set(['temporarily_unavailable', 'server_error', 'slow_down'])

/** Returns the kind of refusal; `unavailable` for a temporary failure or an answer that is not an OAuth error. */
export function matchingCheck(grant: GrantKind, answer: ErrorAnswer): GrantCheck | 'unavailable' {
  const { status, error } = answer
  const isTemporary = status >= 500 || status === 408 || status === 425 || status === 429
  if (isTemporary || (error !== undefined && TEMPORARY.has(error))) return 'unavailable'
  const rule = rules.find((candidate) => fits(candidate, grant, answer))
  if (rule !== undefined) return rule.check
  return error === undefined ? 'unavailable' : 'request_refused'
}

function fits(rule: RefusalRule, grant: GrantKind, answer: ErrorAnswer): boolean {
  const { grants, status, errors, description } = rule
  return (
    (grants?.includes(grant) ?? true) &&
    (status === undefined || status === answer.status) &&
    (errors === undefined || errors.includes(answer.error ?? '')) &&
    (description?.test(answer.description) ?? true)
  )
}

/**
 * The table of all error codes: the source of problem documents, of the pages at /problems and of docs/command-line.md.
 */
import type { TtsErrorCode } from '../base/errors.ts'

export interface ErrorDescription {
  readonly status: number
  /** `title` of the problem document: the HTTP reason phrase where that says enough. */
  readonly title: string
  /** What happened, in one sentence of Markdown. */
  readonly meaning: string
  /** Whether the same request can succeed later. */
  readonly mayRetry: boolean
  /** What the caller can do, in one or two sentences of Markdown. */
  readonly action: string
  /**
   * `error` of the WWW-Authenticate challenge (RFC 6750 section 3.1). Undefined: no challenge. Empty: a challenge
   * without `error` (RFC 6750 section 3), which is also sent when the token is valid but does not give access.
   */
  readonly challenge?: string
}

/** In the order of the HTTP statuses. */
export const errorCodes: Readonly<Record<TtsErrorCode, ErrorDescription>> = {
  invalid_request: {
    status: 400,
    title: 'Bad Request',
    meaning: 'A parameter, a header or the body is malformed or outside its limits.',
    mayRetry: false,
    action: 'Fix the request; `detail` names the parameter.',
  },
  invalid_csr: {
    status: 400,
    title: 'Invalid certificate signing request',
    meaning:
      'The certificate signing request (CSR) is malformed, or the service does not accept its key.',
    mayRetry: false,
    action:
      'Create a new CSR with an RSA key of at least 2048 bits or an EC key on P-256 or P-384. Sign it with that key, and send it as PEM or DER with nothing after it.',
  },
  missing_token: {
    status: 401,
    title: 'Access token required',
    meaning: 'The request carries no access token.',
    mayRetry: false,
    action: 'Send `Authorization: Bearer TOKEN`.',
    challenge: '',
  },
  invalid_token: {
    status: 401,
    title: 'Invalid access token',
    meaning:
      'The access token is expired, revoked, issued for another service, or from a provider that this service does not trust.',
    mayRetry: false,
    action:
      'Get a new token for this service. `check` names the check that failed: `expired`, `audience`, `issuer`, ….',
    challenge: 'invalid_token',
  },
  insufficient_scope: {
    status: 403,
    title: 'Insufficient scope',
    meaning: 'The access token is valid but lacks a scope that the service requires.',
    mayRetry: false,
    action: 'Get a token with the scopes listed in the header `WWW-Authenticate`.',
    challenge: 'insufficient_scope',
  },
  access_denied: {
    status: 403,
    title: 'Forbidden',
    meaning: 'The caller is authenticated, but no authorisation rule allows the request.',
    mayRetry: false,
    action:
      'Ask the operator for access. `tts authz explain` shows the operator which rule decides.',
    challenge: '',
  },
  grant_refused: {
    status: 403,
    title: 'Refused by the identity provider',
    meaning:
      'The identity provider refused the login, the token exchange or the refresh, and would refuse it again.',
    mayRetry: false,
    action: 'Read `detail`: it gives the reason and says who can change that.',
  },
  not_found: {
    status: 404,
    title: 'Not Found',
    meaning: 'The path or the object does not exist, or the caller may not see it.',
    mayRetry: false,
    action: 'Check the path, the id and the parameter `service`.',
  },
  method_not_allowed: {
    status: 405,
    title: 'Method Not Allowed',
    meaning: 'The path exists but does not support this method.',
    mayRetry: false,
    action: 'Use a method listed in the header `Allow`.',
  },
  not_acceptable: {
    status: 406,
    title: 'Not Acceptable',
    meaning: 'The service cannot answer in any of the formats listed in `Accept`.',
    mayRetry: false,
    action: 'Accept `application/x-pem-file` or `application/json`.',
  },
  request_timeout: {
    status: 408,
    title: 'Request Timeout',
    meaning: 'The body did not arrive in time.',
    mayRetry: true,
    action: 'Send the body faster, and start right after the headers.',
  },
  conflict: {
    status: 409,
    title: 'Conflict',
    meaning: 'The request conflicts with the current state of the object.',
    mayRetry: false,
    action:
      'Read the current state first. `check` is `service_gone` when the service of a credential is no longer configured.',
  },
  delegation_ended: {
    status: 410,
    title: 'Delegation ended',
    meaning: 'The delegation has ended and cannot be renewed.',
    mayRetry: false,
    action: 'Get a new access token and create a new delegation.',
  },
  payload_too_large: {
    status: 413,
    title: 'Content Too Large',
    meaning: 'The body is larger than the service accepts.',
    mayRetry: false,
    action: 'Send a smaller body: a CSR has a few kilobytes.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'Unsupported Media Type',
    meaning: 'The content type or the content encoding of the body is not supported.',
    mayRetry: false,
    action: 'Send JSON, a form or a CSR, without compression.',
  },
  expectation_failed: {
    status: 417,
    title: 'Expectation Failed',
    meaning: 'The service does not support the value of the header `Expect`.',
    mayRetry: false,
    action: 'Send no `Expect` other than `100-continue`.',
  },
  limit_reached: {
    status: 429,
    title: 'Too Many Requests',
    meaning: 'The client address or the identity has reached one of its limits.',
    mayRetry: true,
    action:
      'Wait for the number of seconds in `Retry-After`. Send CSRs, and reuse a proxy for as long as it is valid.',
  },
  internal: {
    status: 500,
    title: 'Internal Server Error',
    meaning: 'The service failed. Its log has the cause.',
    mayRetry: false,
    action: 'Give the operator the `request_id`.',
  },
  configuration: {
    status: 500,
    title: 'Internal Server Error',
    meaning: 'The configuration of the service is wrong. Its log has the cause.',
    mayRetry: false,
    action: 'Give the operator the `request_id`.',
  },
  plugin_failed: {
    status: 502,
    title: 'Plugin failed',
    meaning: 'The plugin of the requested service failed or returned an unusable result.',
    mayRetry: false,
    action: 'Give the operator the `request_id`.',
  },
  provider_unavailable: {
    status: 503,
    title: 'Identity provider unavailable',
    meaning: 'The identity provider did not answer in time, or its answer is unusable.',
    mayRetry: true,
    action: 'Wait for the number of seconds in `Retry-After`.',
  },
  store_unavailable: {
    status: 503,
    title: 'Database unavailable',
    meaning: 'The database of the service did not answer in time.',
    mayRetry: true,
    action: 'Wait for the number of seconds in `Retry-After`.',
  },
  overloaded: {
    status: 503,
    title: 'Service overloaded',
    meaning: 'Too many requests are in progress.',
    mayRetry: true,
    action: 'Wait for the number of seconds in `Retry-After`.',
  },
  shutting_down: {
    status: 503,
    title: 'Service shutting down',
    meaning: 'This instance of the service is stopping.',
    mayRetry: true,
    action:
      'Wait for the number of seconds in `Retry-After`. Another replica, or this one after a restart, will answer.',
  },
}

/**
 * Returns the URL of the problem types of this service (RFC 9457 section 3.1.1).
 *
 * @param publicUrl URL under which clients reach the service; without one, the result is an absolute path
 */
export function problemsUrl(publicUrl: string | undefined): string {
  return `${publicUrl?.replace(/\/+$/, '') ?? ''}/problems`
}

/** Returns the table of error codes in Markdown, for docs/command-line.md. */
export function errorTable(): string {
  const rows = Object.entries(errorCodes).map(([code, { status, mayRetry, action }]) => [
    `\`${code}\``,
    String(status),
    mayRetry ? 'yes' : 'no',
    action,
  ])
  const table = [['code', 'status', 'retry', 'what to do'], ...rows]
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...table.map((row) => (row[column] ?? '').length)),
  )
  const [head, ...body] = table.map(
    (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`,
  )
  const line = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`
  return [head, line, ...body].join('\n')
}

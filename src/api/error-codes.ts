/** One table of all errors: what an answer says, and what the pages at /problems and docs/command-line.md explain. */
import type { TtsErrorCode } from '../base/errors.ts'

export interface ErrorDescription {
  readonly status: number
  /** `title` of the problem details: the HTTP status phrase where that says enough. */
  readonly title: string
  /** What happened, in one sentence of Markdown. */
  readonly meaning: string
  /** Whether the same request may succeed later. */
  readonly mayRetry: boolean
  /** What the caller can do, in one or two sentences of Markdown. */
  readonly action: string
  /**
   * `error` of the WWW-Authenticate challenge (RFC 6750 section 3.1); undefined for none, empty for a bare challenge
   * (section 3: also where a token is valid and does not enable access).
   */
  readonly challenge?: string
}

/** In the order of their statuses. */
export const errorCodes: Readonly<Record<TtsErrorCode, ErrorDescription>> = {
  invalid_request: {
    status: 400,
    title: 'Bad Request',
    meaning: 'A parameter, a header or the body is malformed or out of bounds.',
    mayRetry: false,
    action: 'Fix the request; `detail` names the parameter.',
  },
  invalid_csr: {
    status: 400,
    title: 'Invalid certificate signing request',
    meaning: 'The certificate signing request (CSR) is malformed, or its key is not accepted.',
    mayRetry: false,
    action:
      'Make another CSR: signed by its own key, RSA-2048 or more, or EC P-256 or P-384; PEM or DER with nothing after it.',
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
      'The access token is expired, revoked, meant for another service, or from a provider that is not trusted here.',
    mayRetry: false,
    action:
      'Get a new token for this service; `check` says what was wrong: `expired`, `audience`, `issuer`, ….',
    challenge: 'invalid_token',
  },
  insufficient_scope: {
    status: 403,
    title: 'Insufficient scope',
    meaning: 'The access token is valid and lacks a scope that the service requires.',
    mayRetry: false,
    action: 'Get a token with the scopes that `WWW-Authenticate` names.',
    challenge: 'insufficient_scope',
  },
  access_denied: {
    status: 403,
    title: 'Forbidden',
    meaning: 'The caller is known and no rule allows the request.',
    mayRetry: false,
    action: 'Ask the operator for access; `tts authz explain` shows which rule decides.',
    challenge: '',
  },
  grant_refused: {
    status: 403,
    title: 'Refused by the identity provider',
    meaning:
      'The identity provider refuses the login, token exchange or refresh, and would refuse it again.',
    mayRetry: false,
    action: '`detail` says why, and who can change that.',
  },
  not_found: {
    status: 404,
    title: 'Not Found',
    meaning: 'Nothing exists at this path, or nothing that the caller may see.',
    mayRetry: false,
    action: 'Check the path, the id and `service`.',
  },
  method_not_allowed: {
    status: 405,
    title: 'Method Not Allowed',
    meaning: 'The path exists and does not take this method.',
    mayRetry: false,
    action: 'Use a method that the header `Allow` names.',
  },
  not_acceptable: {
    status: 406,
    title: 'Not Acceptable',
    meaning: 'The answer exists in none of the formats that `Accept` names.',
    mayRetry: false,
    action: 'Accept `application/x-pem-file` or `application/json`.',
  },
  request_timeout: {
    status: 408,
    title: 'Request Timeout',
    meaning: 'The body did not arrive in time.',
    mayRetry: true,
    action: 'Send the body at once, and faster.',
  },
  conflict: {
    status: 409,
    title: 'Conflict',
    meaning: 'The request does not fit the present state of what it names.',
    mayRetry: false,
    action:
      'Read the present state first. `check` is `service_gone` where the service of a credential is no longer configured.',
  },
  delegation_ended: {
    status: 410,
    title: 'Delegation ended',
    meaning: 'The delegation can never be renewed again.',
    mayRetry: false,
    action: 'Get a new access token and make a new delegation.',
  },
  payload_too_large: {
    status: 413,
    title: 'Content Too Large',
    meaning: 'The body is larger than the service accepts.',
    mayRetry: false,
    action: 'Send less: a CSR has a few kilobytes.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'Unsupported Media Type',
    meaning: 'The content type or the content encoding of the body is not supported.',
    mayRetry: false,
    action: 'Send JSON, a form or a CSR, not compressed.',
  },
  expectation_failed: {
    status: 417,
    title: 'Expectation Failed',
    meaning: 'The header `Expect` asks for something that is not supported.',
    mayRetry: false,
    action: 'Send no `Expect` other than `100-continue`.',
  },
  limit_reached: {
    status: 429,
    title: 'Too Many Requests',
    meaning: 'The address or the identity sent more requests than its limit allows.',
    mayRetry: true,
    action:
      'Wait for the seconds in `Retry-After`. Send CSRs, and reuse a proxy for as long as it is valid.',
  },
  internal: {
    status: 500,
    title: 'Internal Server Error',
    meaning: 'The service failed. The cause is in its log.',
    mayRetry: false,
    action: 'Give the operator the `request_id`.',
  },
  configuration: {
    status: 500,
    title: 'Internal Server Error',
    meaning: 'The service is configured wrongly. The cause is in its log.',
    mayRetry: false,
    action: 'Give the operator the `request_id`.',
  },
  plugin_failed: {
    status: 502,
    title: 'Plugin failed',
    meaning: 'The plugin of the requested service failed, or gave an unusable result.',
    mayRetry: false,
    action: 'Give the operator the `request_id`.',
  },
  provider_unavailable: {
    status: 503,
    title: 'Identity provider unavailable',
    meaning: 'The identity provider did not answer in time, or not sensibly.',
    mayRetry: true,
    action: 'Wait for the seconds in `Retry-After`.',
  },
  store_unavailable: {
    status: 503,
    title: 'Database unavailable',
    meaning: 'The database of the service did not answer in time.',
    mayRetry: true,
    action: 'Wait for the seconds in `Retry-After`.',
  },
  overloaded: {
    status: 503,
    title: 'Service overloaded',
    meaning: 'Too many requests are in progress.',
    mayRetry: true,
    action: 'Wait for the seconds in `Retry-After`.',
  },
  shutting_down: {
    status: 503,
    title: 'Service shutting down',
    meaning: 'This instance of the service is stopping.',
    mayRetry: true,
    action: 'Wait for the seconds in `Retry-After`: another replica answers, or this one again.',
  },
}

/**
 * Where the problem types of this service are (RFC 9457 section 3.1.1).
 *
 * @param publicUrl where clients reach the service; without one, the types are references by absolute path
 */
export function problemsUrl(publicUrl: string | undefined): string {
  return `${publicUrl?.replace(/\/+$/, '') ?? ''}/problems`
}

/** Rows of the table of errors, in Markdown: for docs/command-line.md. */
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

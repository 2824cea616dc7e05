import { errors as jose } from 'jose'
import { ClientError, ResponseBodyError, WWWAuthenticateChallengeError } from 'openid-client'
import { TtsError } from '../base/errors.ts'
import { shownValues } from './claim-values.ts'

/** The checks that a token can fail, by the names used in answers, logs and the audit trail. */
export type TokenCheck =
  | 'size'
  | 'format'
  | 'critical_header'
  | 'issuer'
  | 'algorithm'
  | 'key'
  | 'signature'
  | 'type'
  | 'subject'
  | 'missing_expiry'
  | 'expired'
  | 'not_yet_valid'
  | 'lifetime'
  | 'audience'
  | 'profile_version'
  | 'claims'
  | 'active'
  | 'scope'
  | 'userinfo'
  | 'user'

/** What can be done, the underlying error, and the audiences of which the token needs one. */
export interface Explanation {
  readonly remedy: string
  readonly cause?: unknown
  readonly audiences?: readonly string[]
}

/**
 * Returns the error `invalid_token` (RFC 6750 section 3.1) for a failed check. `explanation` is a full sentence, or a
 * remedy with its cause.
 */
export function refusal(
  check: TokenCheck,
  message: string,
  explanation: string | Explanation,
): TtsError {
  const { remedy, cause, audiences }: Explanation =
    typeof explanation === 'string' ? { remedy: explanation } : explanation
  return new TtsError('invalid_token', message, {
    check,
    remedy,
    ...(cause !== undefined && { cause: loggable(cause) }),
    ...(audiences !== undefined && { audiences }),
  })
}

/** Returns the error for a provider that could not be asked, so the token may be valid or not. */
export function unavailable(providerId: string, cause: unknown, retryAfterSeconds = 5): TtsError {
  return new TtsError(
    'provider_unavailable',
    `the identity provider ${providerId} cannot be reached or gives invalid answers`,
    {
      check: 'provider',
      retryAfterSeconds,
      remedy: `Run \`tts check\` for details of providers.${providerId}: ${describeFailure(cause)}.`,
      cause: loggable(cause),
    },
  )
}

/**
 * Returns the error for a token that may be signed with a new key: the provider's keys are too young to be fetched
 * again.
 */
export function keysMayHaveChanged(
  providerId: string,
  retryAfterSeconds: number,
  cause: unknown,
): TtsError {
  return new TtsError(
    'provider_unavailable',
    `no known key of the identity provider ${providerId} verifies the token; its keys are fetched again in ${retryAfterSeconds} s`,
    {
      check: 'key',
      retryAfterSeconds,
      cause,
      remedy: `Try again then: the provider may have changed its key (providers.${providerId}.jwks_cooldown_seconds).`,
    },
  )
}

/** @param accepted names of algorithms */
export function algorithmNotAccepted(algorithm: unknown, accepted: readonly string[]): TtsError {
  return refusal(
    'algorithm',
    'the token is signed with an algorithm that is not accepted here',
    `The token is signed with ${shownValues([algorithm])}; accepted: ${shownValues(accepted)}. Add it to providers.<id>.algorithms, or change it at the provider.`,
  )
}

/** Converts an error of jose's signature verification. Errors about claims never reach it. */
export function fromJose(error: unknown): TtsError {
  if (error instanceof TtsError) return error
  const code = error instanceof jose.JOSEError ? error.code : undefined
  switch (code) {
    case 'ERR_JWKS_NO_MATCHING_KEY':
    case 'ERR_JWKS_MULTIPLE_MATCHING_KEYS':
      return refusal('key', 'the token is signed with a key that its issuer does not publish', {
        remedy: 'Get a new token: the issuer has changed its keys, or the token is not from it.',
        cause: error,
      })
    case 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED':
      return refusal(
        'signature',
        'the signature of the token is wrong',
        'Get a new token: this one was changed, or does not come from its issuer.',
      )
    default:
      return refusal('format', 'the token is not a well-formed signed JWT', {
        remedy: 'Send a signed access token (JWS, RFC 7515); encrypted tokens are not supported.',
        cause: error,
      })
  }
}

/** Codes of Node.js and OpenSSL for an untrusted certificate. */
const NOT_TRUSTED = /^(CERT_|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED_CERT|UNABLE_TO_|ERR_TLS_CERT)/

/** Describes a provider's failure in words, without secrets and without a full stop. */
export function describeFailure(error: unknown): string {
  if (error instanceof TtsError) return (error.remedy ?? error.message).replace(/\.$/, '')
  if (error instanceof ResponseBodyError) {
    return `it answered ${safeWord(error.error)} (HTTP ${error.status})`
  }
  if (error instanceof WWWAuthenticateChallengeError) return `it answered HTTP ${error.status}`
  if (error instanceof Error && error.name === 'TimeoutError') return 'no answer in time'
  const code = codeOf(error)
  if (code === 'OAUTH_TIMEOUT') return 'no answer in time'
  if (code === 'ECONNREFUSED') return 'the connection was refused'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'its host name cannot be resolved'
  if (code === 'CERT_HAS_EXPIRED') return 'its TLS certificate has expired'
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'its TLS certificate is for another host name'
  if (code !== undefined && NOT_TRUSTED.test(code))
    return 'its TLS certificate is not trusted: name its CA in tls.ca_file or SSL_CERT_FILE'
  if (error instanceof ClientError) return describeClientError(error)
  const cause = error instanceof Error ? error.cause : undefined
  if (cause !== undefined) return describeFailure(cause)
  return error instanceof Error && error.name === 'ProviderFault'
    ? error.message
    : 'the connection failed'
}

/** Makes the error for a fault of a provider that our own code found. Its message must not hold secrets. */
export function providerFault(message: string): Error {
  return Object.assign(new Error(message), { name: 'ProviderFault' })
}

function describeClientError(error: ClientError): string {
  if (error.cause instanceof Response) return `it answered HTTP ${error.cause.status}`
  const { cause } = error
  const hasReason =
    cause instanceof TypeError || (cause instanceof Error && cause.name === 'ProviderFault')
  return hasReason ? describeFailure(cause) : 'its answer could not be understood'
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

function safeWord(word: string): string {
  return /^[a-z_]{1,40}$/.test(word) ? word : 'an error'
}

/**
 * Returns an error that may be logged: only code and words, because the libraries' errors hold responses, request
 * headers and claim sets.
 */
function loggable(error: unknown): Error {
  const code = codeOf(error) ?? (error instanceof Error ? error.name : 'unknown')
  // For jose the code says enough; `describeFailure` describes failed connections.
  const words = error instanceof jose.JOSEError ? 'by the signature check' : describeFailure(error)
  // The stack would be that of this function, which is of no use.
  return Object.assign(new Error(`${code}: ${words}`), { stack: undefined })
}

/** The refusals of a signed request, with messages for the user whom the site sent. */
import { errors } from 'jose'
import { TtsError, type TtsErrorCode } from '../base/errors.ts'

/** The checks that a signed request can fail. Page, log and audit trail use these names. */
export type RelyingCheck =
  | 'size'
  | 'format'
  | 'algorithm'
  | 'type'
  | 'issuer'
  | 'key'
  | 'signature'
  | 'claims'
  | 'expired'
  | 'not_yet_valid'
  | 'audience'
  | 'return_url'
  | 'referer'
  | 'replay'
  | 'rate'
  | 'navigation'
  | 'provider'
  | 'login'
  | 'session'
  | 'authorisation'

/** Returns a refusal; the message is for the user. */
export function siteRefusal(
  check: RelyingCheck,
  message: string,
  details: {
    readonly code?: TtsErrorCode
    readonly remedy?: string
    readonly cause?: unknown
  } = {},
): TtsError {
  const { code = 'access_denied', ...rest } = details
  return new TtsError(code, message, { check, ...rest })
}

/** Returns a refusal of a malformed request: 400 instead of 403. */
export function malformedSiteRequest(check: RelyingCheck, message: string): TtsError {
  return siteRefusal(check, message, { code: 'invalid_request' })
}

/** Converts the errors of jose. */
export function siteRefusalFromJose(error: unknown): TtsError {
  if (error instanceof TtsError) return error
  if (error instanceof errors.JWTExpired) {
    return siteRefusal(
      'expired',
      `the signed request has expired (claim ${error.claim === 'iat' ? 'iat' : 'exp'}): go back to the site and start again`,
      {
        remedy: 'Check relying_services.<id>.maximum_token_age_seconds, and compare the clocks.',
      },
    )
  }
  if (error instanceof errors.JWTClaimValidationFailed) return fromClaim(error)
  if (error instanceof errors.JOSEAlgNotAllowed) return wrongAlgorithm()
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return siteRefusal('signature', 'the signed request has an invalid signature')
  if (
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys
  ) {
    return siteRefusal(
      'key',
      'the signed request is signed with a key that the site does not publish',
      {
        remedy:
          'Check that relying_services.<id>.keys_location has an RSA key with the `kid` of the request.',
      },
    )
  }
  // jose throws a TypeError for a key that is too short or for another algorithm.
  if (error instanceof TypeError)
    return siteRefusal(
      'key',
      'the key of the site cannot be used for RS256: it must be an RSA key of at least 2048 bits',
      {
        cause: error,
      },
    )
  return noRequest()
}

/** Returns the refusal of text that is not a JWT. */
export function noRequest(): TtsError {
  return malformedSiteRequest('format', 'the address contains no signed request (JWT)')
}

/** Returns the refusal of any algorithm other than RS256. */
export function wrongAlgorithm(): TtsError {
  return siteRefusal(
    'algorithm',
    'the signed request uses an algorithm that is not accepted (header alg must be RS256)',
  )
}

function fromClaim({ claim, reason }: errors.JWTClaimValidationFailed): TtsError {
  if (reason === 'check_failed' && (claim === 'iat' || claim === 'nbf')) {
    return siteRefusal('not_yet_valid', `the signed request is not valid yet (claim ${claim})`, {
      remedy: 'Compare the clocks of the site and of this host (clock_leeway_seconds).',
    })
  }
  return badClaim(claim)
}

/** Returns the refusal of a missing or malformed claim. */
export function badClaim(claim: string): TtsError {
  return malformedSiteRequest(
    'claims',
    `the claim ${claim} of the signed request is missing or malformed`,
  )
}

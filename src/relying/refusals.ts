/** Why a signed request is refused, in words for whoever was sent. */
import { errors } from 'jose'
import { TtsError, type TtsErrorCode } from '../base/errors.ts'

/** The checks that a signed request can fail, as they are named on the page, in the log and on the audit trail. */
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

/** A refusal; the message is for the person who was sent. */
export function siteRefusal(
  check: RelyingCheck,
  message: string,
  more: { readonly code?: TtsErrorCode; readonly remedy?: string; readonly cause?: unknown } = {},
): TtsError {
  const { code = 'access_denied', ...rest } = more
  return new TtsError(code, message, { check, ...rest })
}

/** Refused for its form: 400 and not 403. */
export function malformedSiteRequest(check: RelyingCheck, message: string): TtsError {
  return siteRefusal(check, message, { code: 'invalid_request' })
}

/** Renames the errors of jose. */
export function siteRefusalFromJose(error: unknown): TtsError {
  if (error instanceof TtsError) return error
  if (error instanceof errors.JWTExpired) {
    return siteRefusal(
      'expired',
      `the signed request has expired (claim ${error.claim === 'iat' ? 'iat' : 'exp'}): go back to the site and begin again`,
      { remedy: 'Compare the clocks, or raise relying_services.<id>.maximum_token_age_seconds.' },
    )
  }
  if (error instanceof errors.JWTClaimValidationFailed) return fromClaim(error)
  if (error instanceof errors.JOSEAlgNotAllowed) return wrongAlgorithm()
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return siteRefusal('signature', 'the signature of the signed request is wrong')
  if (
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys
  ) {
    return siteRefusal(
      'key',
      'the signed request is signed by a key that the site does not publish',
      {
        remedy:
          'Publish an RSA key with the `kid` of the request at relying_services.<id>.keys_location.',
      },
    )
  }
  // A TypeError is jose's word for a key that is not strong enough or not for this algorithm.
  if (error instanceof TypeError)
    return siteRefusal(
      'key',
      'the key of the site is not one for RS256: RSA of 2048 bits or more',
      {
        cause: error,
      },
    )
  return noRequest()
}

/** It is not even a JWT. */
export function noRequest(): TtsError {
  return malformedSiteRequest('format', 'what came in the address is not a signed request (JWT)')
}

/** The one algorithm is RS256. */
export function wrongAlgorithm(): TtsError {
  return siteRefusal(
    'algorithm',
    'the signed request is signed by an algorithm that is not accepted here (header alg, wanted RS256)',
  )
}

function fromClaim({ claim, reason }: errors.JWTClaimValidationFailed): TtsError {
  if (reason === 'check_failed' && (claim === 'iat' || claim === 'nbf')) {
    return siteRefusal('not_yet_valid', `the signed request is not valid yet (claim ${claim})`, {
      remedy: 'Compare the clocks of the site and of this machine (clock_leeway_seconds).',
    })
  }
  return badClaim(claim)
}

/** A claim that is missing, or of a form that is not taken. */
export function badClaim(claim: string): TtsError {
  return malformedSiteRequest(
    'claims',
    `the signed request has no claim ${claim}, or not in the form it must have`,
  )
}

/** Every way in which the library refuses, by code. Decide on `code` and `details`, never on message text. */
export type CaErrorCode =
  | 'malformed' // bytes that are not the DER or PEM structure they should be
  | 'too_large' // bytes over the limit, refused before they reach a parser
  | 'bad_signature' // a signature that does not verify
  | 'weak_key' // a public key that the key policy refuses
  | 'bad_name' // a distinguished name that cannot be read, or must not be issued
  | 'bad_lifetime' // a validity that is not within that of its issuer
  | 'bad_request' // a combination of parameters that no profile allows
  | 'bad_authority' // a CA certificate, key or passphrase that cannot be used
  | 'bad_proxy_file'
  | 'self_check_failed' // what was made differs from the request when read back; nothing is returned

/** Why a field was refused. */
export type CaErrorReason =
  | 'missing'
  | 'unexpected' // it must not be there
  | 'duplicate'
  | 'too_many'
  | 'too_small'
  | 'too_large'
  | 'bad_encoding' // not the DER, PEM, base64, text or number format that it must have
  | 'bad_value' // well-formed, and not one of the values allowed
  | 'unsupported' // a type, version or algorithm that this library does not take
  | 'mismatch' // it differs from what it must be equal to
  | 'not_verified' // its signature does not verify
  | 'not_yet_valid'
  | 'expired'
  | 'not_nested' // its validity is not within that of its issuer
  | 'not_allowed' // the certificate does not permit this use
  | 'small_factor' // these and the next two: anybody can find the private key
  | 'close_primes'
  | 'roca'
  | 'small_order' // signatures verify under this key without a private key

/** The machine-readable part of an error. */
export interface CaErrorDetails {
  /** What was refused: a parameter (`validity.notAfter`), or a part of a structure (`CSR`, `RSA modulus`). */
  readonly field: string
  readonly reason: CaErrorReason
  /** The limit that was passed, lower or upper by `reason`; its unit is that of `actual`. */
  readonly limit?: number
  /** What was there: bytes, characters, bits, seconds or a count, as the field is measured. */
  readonly actual?: number
}

/** An error of the library. `message` is for people and holds no key material; programs read `code` and `details`. */
export class CaError extends Error {
  readonly code: CaErrorCode
  readonly details: CaErrorDetails

  constructor(
    code: CaErrorCode,
    message: string,
    { cause, ...details }: CaErrorDetails & { readonly cause?: unknown },
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'CaError'
    this.code = code
    this.details = details
  }
}

/** The error for bytes that are not the structure `what`. */
export function malformed(
  what: string,
  problem: string,
  details: Partial<CaErrorDetails> & { readonly cause?: unknown } = {},
): CaError {
  const message = `malformed ${what}: ${problem}`
  return new CaError('malformed', message, { field: what, reason: 'bad_encoding', ...details })
}

/** The error for input over its size limit. */
export function tooLarge(
  what: string,
  unit: 'bytes' | 'characters',
  { actual, limit }: { readonly actual: number; readonly limit: number },
): CaError {
  const message = `the ${what} is too large: ${actual} ${unit}; at most ${limit} are accepted`
  return new CaError('too_large', message, { field: what, reason: 'too_large', limit, actual })
}

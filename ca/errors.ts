/** The error codes of the library. Decide on `code` and `details`, never on the message. */
export type CaErrorCode =
  | 'malformed' // the bytes do not have the required DER or PEM structure
  | 'too_large' // more bytes than the limit; refused before parsing
  | 'bad_signature' // the signature does not verify
  | 'weak_key' // the key policy refuses the public key
  | 'bad_name' // the distinguished name cannot be read, or must not be issued
  | 'bad_lifetime' // the validity is not within that of the issuer, or is impossible
  | 'bad_request' // parameters that no profile allows
  | 'bad_authority' // the CA certificate, key or passphrase cannot be used
  | 'bad_proxy_file'
  | 'self_check_failed' // the result, read back, differs from the request; nothing is returned

/** Why a field was refused. */
export type CaErrorReason =
  | 'missing'
  | 'unexpected' // it must be absent
  | 'duplicate'
  | 'too_many'
  | 'too_small'
  | 'too_large'
  | 'bad_encoding' // not in the required DER, PEM, base64, text or number format
  | 'bad_value' // well-formed but not an allowed value
  | 'unsupported' // a type, version or algorithm that the library does not support
  | 'mismatch' // it differs from the value that it must be equal to
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
  /** The violated limit, upper or lower depending on `reason`, in the unit of `actual`. */
  readonly limit?: number
  /** The actual value, in the unit of the field: bytes, characters, bits, seconds or a count. */
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

/** Returns the error for bytes that do not have the structure `what`. */
export function malformed(
  what: string,
  problem: string,
  details: Partial<CaErrorDetails> & { readonly cause?: unknown } = {},
): CaError {
  const message = `malformed ${what}: ${problem}`
  return new CaError('malformed', message, { field: what, reason: 'bad_encoding', ...details })
}

/** Returns the error for input above its size limit. */
export function tooLarge(
  what: string,
  unit: 'bytes' | 'characters',
  { actual, limit }: { readonly actual: number; readonly limit: number },
): CaError {
  const message = `the ${what} is too large: ${actual} ${unit}; at most ${limit} are accepted`
  return new CaError('too_large', message, { field: what, reason: 'too_large', limit, actual })
}

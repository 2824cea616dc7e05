/** Every way in which the library refuses, by code. Decide on `code`, never on message text. */
export type CaErrorCode =
  | 'malformed' // bytes that are not the DER or PEM structure they should be
  | 'too_large' // bytes over the bound, refused before they reach a parser
  | 'bad_signature' // a signature that does not verify
  | 'weak_key' // a public key that the key policy refuses
  | 'bad_name' // a distinguished name that cannot be read, or must not be issued
  | 'bad_lifetime' // a validity that cannot be nested in that of its issuer
  | 'bad_request' // a combination of parameters that no profile allows
  | 'bad_authority' // a CA certificate, key or passphrase that cannot be used
  | 'bad_proxy_file'
  | 'self_check_failed' // what we made was not read back as meant: nothing leaves

/** An error of the certification authority; `message` names what was wrong, without key material. */
export class CaError extends Error {
  readonly code: CaErrorCode

  constructor(code: CaErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'CaError'
    this.code = code
  }
}

/**
 * Identifiers of token exchange. RFC 8693 section 3 lets any URI name a type of token. Those of X.509 credentials have
 * no registered one, and ours are the same at every installation, so that clients need no per-site setting.
 */

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'

export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'
/** An access token that is a JWT (RFC 8693 section 3). */
export const JWT = 'urn:ietf:params:oauth:token-type:jwt'
/** A proxy file: proxy, key unless a CSR was sent, EEC, chain; PEM. */
export const PROXY_TOKEN_TYPE = 'urn:tts:token-type:x509-proxy'
/** An end-entity certificate and the chain; PEM. */
export const CERTIFICATE_TOKEN_TYPE = 'urn:tts:token-type:x509-certificate'

/** Types of token that can be exchanged for a credential. */
export const subjectTokenTypes: readonly string[] = [ACCESS_TOKEN, JWT]

/** Types of token that a proxy can be exchanged for; both are the same JWT. */
export const accessTokenTypes: readonly string[] = [ACCESS_TOKEN, JWT]

/** Types of credential that can be requested, with the native path that has the same services. */
export const requestedTokenTypes = {
  [PROXY_TOKEN_TYPE]: 'proxies',
  [CERTIFICATE_TOKEN_TYPE]: 'certificates',
} as const

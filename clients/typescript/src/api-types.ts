/** The API of the Token Translation Service: made from /openapi.json by `npm run docs`; do not edit. */

/** A certificate of a credential */
export interface Certificate {
  readonly kind: 'eec' | 'proxy'
  /** Serial number in hexadecimal, as in CRLs */
  readonly serial: string
  /** Subject as a slash-DN, as in a grid-mapfile */
  readonly subject: string
  readonly not_before: string
  readonly not_after: string
  /** SHA-256 of the certificate in DER, lower-case hexadecimal */
  readonly fingerprint_sha256: string
  /** Kind of the key, for example `rsa-2048` */
  readonly key: string
}

/** What was issued to you; it holds no key */
export interface Credential {
  readonly id: string
  /** Id of the service that issued it */
  readonly service: string
  /** Subject as a slash-DN, as in a grid-mapfile */
  readonly subject: string
  readonly issued_at: string
  /** null: the plugin did not say when it ends */
  readonly not_after: string | null
  readonly revoked_at: string | null
  readonly revocation_reason:
    | 'unspecified'
    | 'keyCompromise'
    | 'affiliationChanged'
    | 'superseded'
    | 'cessationOfOperation'
    | 'privilegeWithdrawn'
    | null
  /** Serial number of its EEC; null without one */
  readonly end_entity_serial: string | null
  /** Serial number of an SSH certificate */
  readonly ssh_serial: string | null
  /** OAuth client that the token was issued to */
  readonly client_id: string | null
  /** Address that the request came from */
  readonly address: string
  /** How it was requested, for example `native` or `delegation` */
  readonly interface: string
  /** The delegation that renewed it */
  readonly delegation_id: string | null
  /** The credential whose holder renewed it by possession */
  readonly renewed_from: string | null
  readonly certificates: readonly Certificate[]
}

/** A page of your credentials, newest first */
export interface CredentialPage {
  readonly credentials: readonly Credential[]
  /** Give it as `after` to get the next page; null on the last page */
  readonly next: string | null
}

/** The outcome of a revocation */
export interface CredentialRevocation {
  readonly id: string
  readonly end_entity_serial: string | null
  /** false: it was revoked before */
  readonly newly_revoked: boolean
  /** Ids of all credentials that this revoked */
  readonly affected: readonly string[]
}

/** A proxy or a certificate that was just issued */
export interface IssuedCredential {
  /** Id of the credential, to show or revoke it */
  readonly id: string
  /** Id of the service that issued it */
  readonly service: string
  /** Subject of the EEC as a slash-DN, as in a grid-mapfile */
  readonly identity: string
  readonly not_after: string
  /** Serial number in hexadecimal, as in CRLs */
  readonly end_entity_serial: string
  /** Why some relying party is known to refuse this credential */
  readonly warnings: readonly string[]
  /** The file: certificate, its key unless you sent a CSR, and the certificates above it */
  readonly pem: string
}

/** The right to renew proxies without a person present */
export interface Delegation {
  readonly id: string
  readonly state: 'active' | 'ended' | 'revoked'
  /** Subject of your EECs as a slash-DN */
  readonly identity: string
  /** Your name for it */
  readonly label: string | null
  readonly created_at: string
  readonly last_used_at: string | null
  /** Until when it renews by itself, as far as the service can tell; null at its end */
  readonly renews_until: string | null
  /** One sentence: until when, and what must be done before */
  readonly advice: string
  readonly ended_at: string | null
  readonly end_reason: string | null
  /** Id of the identity provider */
  readonly provider: string
  /** OAuth client that the token was issued to */
  readonly client_id: string | null
  /** Address that the request came from */
  readonly address: string
}

/** A new delegation, with its renewal secret */
export interface NewDelegation {
  readonly id: string
  readonly state: 'active' | 'ended' | 'revoked'
  /** Subject of your EECs as a slash-DN */
  readonly identity: string
  /** Your name for it */
  readonly label: string | null
  readonly created_at: string
  readonly last_used_at: string | null
  /** Until when it renews by itself, as far as the service can tell; null at its end */
  readonly renews_until: string | null
  /** One sentence: until when, and what must be done before */
  readonly advice: string
  readonly ended_at: string | null
  readonly end_reason: string | null
  /** Id of the identity provider */
  readonly provider: string
  /** OAuth client that the token was issued to */
  readonly client_id: string | null
  /** Address that the request came from */
  readonly address: string
  /** The secret that renews, shown only here. Its holder gets proxies of your identity */
  readonly renewal_secret: string
}

/** A page of your delegations, newest first */
export interface DelegationPage {
  readonly delegations: readonly Delegation[]
  /** Give it as `after` to get the next page; null on the last page */
  readonly next: string | null
}

/** What happened to a delegation */
export interface DelegationEvent {
  readonly at: string
  readonly event: 'made' | 'rotated' | 'used' | 'refused' | 'revoked' | 'ended' | 'notice'
  readonly outcome: 'allowed' | 'refused'
  readonly address: string
  readonly interface: string
  readonly detail: string | null
}

/** A delegation with its events */
export interface DelegationDetails {
  readonly id: string
  readonly state: 'active' | 'ended' | 'revoked'
  /** Subject of your EECs as a slash-DN */
  readonly identity: string
  /** Your name for it */
  readonly label: string | null
  readonly created_at: string
  readonly last_used_at: string | null
  /** Until when it renews by itself, as far as the service can tell; null at its end */
  readonly renews_until: string | null
  /** One sentence: until when, and what must be done before */
  readonly advice: string
  readonly ended_at: string | null
  readonly end_reason: string | null
  /** Id of the identity provider */
  readonly provider: string
  /** OAuth client that the token was issued to */
  readonly client_id: string | null
  /** Address that the request came from */
  readonly address: string
  /** The newest 100, newest first */
  readonly events: readonly DelegationEvent[]
}

/** A delegation after its revocation */
export interface DelegationRevocation {
  readonly id: string
  readonly state: 'active' | 'ended' | 'revoked'
  /** Subject of your EECs as a slash-DN */
  readonly identity: string
  /** Your name for it */
  readonly label: string | null
  readonly created_at: string
  readonly last_used_at: string | null
  /** Until when it renews by itself, as far as the service can tell; null at its end */
  readonly renews_until: string | null
  /** One sentence: until when, and what must be done before */
  readonly advice: string
  readonly ended_at: string | null
  readonly end_reason: string | null
  /** Id of the identity provider */
  readonly provider: string
  /** OAuth client that the token was issued to */
  readonly client_id: string | null
  /** Address that the request came from */
  readonly address: string
  /** false: it had ended before */
  readonly newly_revoked: boolean
  /** Whether the refresh token was revoked at the provider */
  readonly provider_told: boolean
}

/** An error (RFC 9457): what is wrong, and what to do about it */
export interface Problem {
  /** Page that explains the error */
  readonly type: string
  readonly title: string
  readonly status: number
  /** What is wrong with this request, for people */
  readonly detail: string
  /** Stable error code, for programs */
  readonly code:
    | 'invalid_request'
    | 'invalid_csr'
    | 'missing_token'
    | 'invalid_token'
    | 'insufficient_scope'
    | 'access_denied'
    | 'grant_refused'
    | 'not_found'
    | 'method_not_allowed'
    | 'not_acceptable'
    | 'request_timeout'
    | 'conflict'
    | 'delegation_ended'
    | 'payload_too_large'
    | 'unsupported_media_type'
    | 'expectation_failed'
    | 'limit_reached'
    | 'internal'
    | 'configuration'
    | 'plugin_failed'
    | 'provider_unavailable'
    | 'store_unavailable'
    | 'overloaded'
    | 'shutting_down'
  /** The check that failed */
  readonly check?: string
  /** Audiences of which the token needs one (check `audience`) */
  readonly accepted_audiences?: readonly string[]
  /** Id of the request in the log */
  readonly request_id: string
}

/** Parameters of a proxy */
export interface ProxyParameters {
  /** Life of the certificate in seconds, from now. */
  readonly lifetime_seconds?: number
  /**
   * `impersonation` has all rights of the user, `limited` cannot start jobs, `independent` has no rights
   * of its own.
   */
  readonly proxy_type?: 'impersonation' | 'limited' | 'independent'
  /** How many further proxies may be delegated from this one. Default: unlimited. */
  readonly path_length?: number
  /** Kind of key that the service makes. Default: rsa-2048. Must not be combined with a CSR. */
  readonly key_type?: 'rsa-2048' | 'rsa-3072' | 'rsa-4096' | 'ec-p256'
  /**
   * Format of an RSA key that the service makes: `pkcs1` (RSA PRIVATE KEY) is read by all grid software,
   * JGlobus does not read `pkcs8` (PRIVATE KEY). Default: pkcs1. EC keys are always in PKCS#8. Must not
   * be combined with a CSR.
   */
  readonly key_format?: 'pkcs1' | 'pkcs8'
  /** PKCS#10 certificate signing request in PEM. Only its public key is used. */
  readonly csr?: string
  /** Id of another service of the same kind */
  readonly service?: string
}

/** Parameters of a certificate */
export interface CertificateParameters {
  /** Life of the certificate in seconds, from now. */
  readonly lifetime_seconds?: number
  /** PKCS#10 certificate signing request in PEM. Only its public key is used. */
  readonly csr: string
  /** Id of another service of the same kind */
  readonly service?: string
}

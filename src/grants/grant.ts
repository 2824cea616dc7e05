/** What OAuth grants give, whoever asks: the words that the service's delegations and certcache share. */

/** The answer to a grant. Both tokens are secrets. */
export interface Granted {
  readonly accessToken: string
  /** Undefined when the answer had none: then the one that was used stays. */
  readonly refreshToken: string | undefined
  /** End of the access token, as far as the answer tells. */
  readonly expiresAt: Date | undefined
  /** End of the refresh token, which few providers tell (Keycloak's `refresh_expires_in`). */
  readonly refreshExpiresAt: Date | undefined
  readonly scope: string | undefined
}

/** What is asked of the provider's token endpoint besides the token that is shown. */
export interface WantedGrant {
  /** Audience of the access token; undefined: the provider's choice. */
  readonly audience: string | undefined
  readonly scopes: readonly string[]
  readonly signal: AbortSignal
}

/** A login that a person completes on another device (RFC 8628). */
export interface DeviceLogin {
  readonly verificationUri: string
  /** The same with the code in it, when the provider gives it. */
  readonly verificationUriComplete: string | undefined
  readonly userCode: string
  readonly expiresAt: Date
  /**
   * Waits until the person has agreed.
   *
   * @throws {TtsError} `grant_refused` (checks `device_denied`, `device_expired`), `provider_unavailable`
   */
  wait(signal: AbortSignal): Promise<Granted>
}

/** One client at one provider. Every promise settles within the client's deadline. */
export interface GrantClient {
  /** Token exchange (RFC 8693). @throws {TtsError} `grant_refused`, `provider_unavailable` */
  exchange(request: WantedGrant & { readonly subjectToken: string }): Promise<Granted>
  /** Refresh (RFC 6749 section 6). @throws {TtsError} `grant_refused`, `provider_unavailable` */
  refresh(
    request: Omit<WantedGrant, 'scopes'> & { readonly refreshToken: string },
  ): Promise<Granted>
  /** Device authorization (RFC 8628). @throws {TtsError} `grant_refused`, `provider_unavailable` */
  startDevice(request: WantedGrant): Promise<DeviceLogin>
  /** Ends a refresh token at the provider (RFC 7009), as far as it lets us. @throws {TtsError} `provider_unavailable` */
  revoke(request: { readonly refreshToken: string; readonly signal: AbortSignal }): Promise<void>
}

import type { Attempt } from '../refresh-helper/spool.ts'

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

/** Where the answer to a refresh goes before it is told, so that it outlives this process. */
export interface SpooledAttempt extends Attempt {
  /** Name of the spool: another replica's is not here. */
  readonly spool: string
  readonly begunAt: Date
}

/** An answer that was found in the spool, and the refresh token that had been shown for it. Secrets. */
export interface RecoveredGrant {
  readonly granted: Granted
  readonly shown: string
}

/** One client at one provider. Every promise settles within the client's deadline. */
export interface GrantClient {
  /** Token exchange (RFC 8693). @throws {TtsError} `grant_refused`, `provider_unavailable` */
  exchange(request: WantedGrant & { readonly subjectToken: string }): Promise<Granted>
  /** Refresh (RFC 6749 section 6). @throws {TtsError} `grant_refused`, `provider_unavailable` */
  refresh(
    request: Omit<WantedGrant, 'scopes'> & {
      readonly refreshToken: string
      /** Undefined: the answer goes with this process. */
      readonly attempt?: Attempt | undefined
    },
  ): Promise<Granted>
  /** Begins an attempt of whose answer none is lost; undefined where this client has no spool. */
  newAttempt?(owner: string): Promise<SpooledAttempt>
  /**
   * The answer to an attempt that was never stored; undefined when there is none.
   *
   * @param mayRepeat whether the same refresh token works again: then nobody is waited for who is elsewhere
   * @throws {TtsError} `overloaded` while whoever made the attempt may still get an answer
   */
  recover?(
    attempt: SpooledAttempt,
    about: { readonly mayRepeat: boolean },
  ): Promise<RecoveredGrant | undefined>
  /** Removes the answers of an owner from the spool: they are stored. */
  forget?(owner: string): Promise<void>
  /** Device authorization (RFC 8628). @throws {TtsError} `grant_refused`, `provider_unavailable` */
  startDevice(request: WantedGrant): Promise<DeviceLogin>
  /** Ends a refresh token at the provider (RFC 7009), as far as it lets us. @throws {TtsError} `provider_unavailable` */
  revoke(request: { readonly refreshToken: string; readonly signal: AbortSignal }): Promise<void>
}

import type { Attempt } from '../refresh-helper/spool.ts'

/** The types of OAuth grants, shared by the service's delegations and certcache. */

/** The answer to a grant. Both tokens are secrets. */
export interface Granted {
  readonly accessToken: string
  /** Undefined when the answer has none; the used one then stays valid. */
  readonly refreshToken: string | undefined
  /** Expiry of the access token, if the answer states it. */
  readonly expiresAt: Date | undefined
  /** Expiry of the refresh token, which few providers state (`refresh_expires_in` of Keycloak). */
  readonly refreshExpiresAt: Date | undefined
  readonly scope: string | undefined
}

/** What to request from the token endpoint. */
export interface GrantParameters {
  /** Audience of the access token; undefined: the provider chooses. */
  readonly audience: string | undefined
  readonly scopes: readonly string[]
  readonly signal: AbortSignal
}

/** A login that a user completes on another device (RFC 8628). */
export interface DeviceLogin {
  readonly verificationUri: string
  /** The same with the code included, if the provider sends it. */
  readonly verificationUriComplete: string | undefined
  readonly userCode: string
  readonly expiresAt: Date
  /**
   * Waits until the user has agreed.
   *
   * @throws {TtsError} `grant_refused` (checks `device_denied`, `device_expired`), `provider_unavailable`
   */
  wait(signal: AbortSignal): Promise<Granted>
}

/** A refresh attempt whose answer is spooled, so that it survives this process. */
export interface SpooledAttempt extends Attempt {
  /** Name of the spool; a replica can read only its own spool. */
  readonly spool: string
  readonly begunAt: Date
}

/** An answer from the spool, and the refresh token that was sent for it (`shown`). Both are secret. */
export interface RecoveredGrant {
  readonly granted: Granted
  readonly shown: string
}

/** The grants of one client at one provider. Every promise settles within the client's deadline. */
export interface GrantClient {
  /** Token exchange (RFC 8693). @throws {TtsError} `grant_refused`, `provider_unavailable` */
  exchange(request: GrantParameters & { readonly subjectToken: string }): Promise<Granted>
  /** Refresh (RFC 6749 section 6). @throws {TtsError} `grant_refused`, `provider_unavailable` */
  refresh(
    request: Omit<GrantParameters, 'scopes'> & {
      readonly refreshToken: string
      /** Undefined: the answer is lost if this process is killed. */
      readonly attempt?: Attempt | undefined
    },
  ): Promise<Granted>
  /** Starts an attempt whose answer is spooled; absent when this client has no spool. */
  newAttempt?(owner: string): Promise<SpooledAttempt>
  /**
   * Returns the spooled answer to an earlier attempt; undefined when there is none.
   *
   * @param mayRepeat whether the same refresh token can be used again; another replica is then not waited for
   * @throws {TtsError} `overloaded`, check `refresh_helper` (the attempt may still get an answer)
   */
  recover?(
    attempt: SpooledAttempt,
    options: { readonly mayRepeat: boolean },
  ): Promise<RecoveredGrant | undefined>
  /** Removes the answers of an owner from the spool, after they were stored. */
  forget?(owner: string): Promise<void>
  /** Device authorization (RFC 8628). @throws {TtsError} `grant_refused`, `provider_unavailable` */
  startDevice(request: GrantParameters): Promise<DeviceLogin>
  /**
   * Revokes a refresh token (RFC 7009); does nothing without a revocation endpoint. @throws {TtsError}
   * `provider_unavailable`, `grant_refused`
   */
  revoke(request: { readonly refreshToken: string; readonly signal: AbortSignal }): Promise<void>
}

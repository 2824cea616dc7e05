/** The interface of the renewal engine, as the HTTP server and the commands use it. */

/** A complete, valid proxy in memory. */
export interface HeldProxy {
  readonly name: string
  /** The proxy file that workers get: proxy, key, EEC and chain in PEM. */
  readonly pem: Buffer
  /** Slash-DN of the proxy. */
  readonly subject: string
  /** Slash-DN of the EEC. */
  readonly identity: string
  readonly obtainedAt: Date
  /** The earliest notAfter of all certificates in the file, and of its VOMS attributes. */
  readonly notAfter: Date
}

/** The renewal status of one proxy. */
export interface RenewalStatus {
  readonly name: string
  /** The present proxy; undefined when none is valid. */
  readonly proxy: Omit<HeldProxy, 'pem'> | undefined
  readonly renewing: boolean
  readonly nextAttemptAt: Date | undefined
  readonly lastSuccessAt: Date | undefined
  /** The error of the newest attempt; undefined when it succeeded. */
  readonly lastError:
    | {
        readonly at: Date
        readonly code: string
        readonly message: string
        readonly remedy: string | undefined
      }
    | undefined
  readonly attempts: { readonly succeeded: number; readonly failed: number }
}

/** The status of the source: how proxies are renewed, and for how long. */
export interface SourceStatus {
  readonly kind: 'delegation' | 'refresh' | 'token' | 'none'
  readonly delegationId: string | undefined
  /** Until when renewal works without a new token, if known. */
  readonly renewsUntil: Date | undefined
  /** One sentence for people: until when renewal works, and what must be done before. */
  readonly advice: string
  /** Why renewal has ended for good; undefined while it works. */
  readonly ended: string | undefined
  /** Why only the token itself can be used, although a renewal was wanted; undefined otherwise. */
  readonly withoutRenewal?: string | undefined
}

/** Renews the named proxies. At most one renewal of each runs at a time; concurrent callers share it. */
export interface ProxyEngine {
  /** Names of the proxies. The first is the default for requests without a name. */
  readonly names: readonly string[]
  /** Returns the present proxy if it is valid now. Cheap, because it is called for every request. */
  current(name?: string): HeldProxy | undefined
  /**
   * Returns the present proxy, or waits for the renewal of it.
   *
   * @throws {TtsError} `not_found` (no proxy has this name), and the error of the renewal
   */
  obtain(name: string | undefined, signal: AbortSignal): Promise<HeldProxy>
  /**
   * Renews the proxy if it is due, or, with `validForSeconds`, if it is valid for less than that. If another
   * certcache holds the lock, asks that one.
   *
   * @returns `hasOtherRenewer`: whether another certcache renews this proxy
   * @throws {TtsError} the error of the renewal
   */
  renewIfDue(
    request: { readonly name: string | undefined; readonly validForSeconds: number | undefined },
    signal: AbortSignal,
  ): Promise<{
    readonly renewed: boolean
    readonly proxy: HeldProxy
    readonly hasOtherRenewer?: boolean
  }>
  status(): { readonly proxies: readonly RenewalStatus[]; readonly source: SourceStatus }
  /** Ends the loop and completes writes in progress. */
  close(): Promise<void>
}

/** The time as a parameter, so that a test can pass a month in seconds. */
export interface Clock {
  now(): Date
  /** Settles early, without error, when the signal is aborted. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>
}

/** What keeps proxies fresh, as the HTTP server and the commands of certcache see it. */

/** A whole, valid proxy in hand. */
export interface HeldProxy {
  readonly name: string
  /** The file as workers get it: proxy, key, EEC, chain in PEM. */
  readonly pem: Buffer
  /** Slash-DN of the proxy. */
  readonly subject: string
  /** Slash-DN of the EEC. */
  readonly identity: string
  readonly obtainedAt: Date
  /** The earliest end of all certificates in the file. */
  readonly notAfter: Date
}

/** How the renewal of one proxy is doing. */
export interface RenewalStatus {
  readonly name: string
  /** What is in hand and valid; undefined when nothing is. */
  readonly proxy: Omit<HeldProxy, 'pem'> | undefined
  readonly renewing: boolean
  readonly nextAttemptAt: Date | undefined
  readonly lastSuccessAt: Date | undefined
  /** Of the newest attempt; undefined when it succeeded. */
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

/** Where the right to renew comes from, and how long it lasts. */
export interface SourceStatus {
  readonly kind: 'delegation' | 'refresh' | 'token' | 'none'
  readonly delegationId: string | undefined
  /** Until when it renews by itself, as far as can be told. */
  readonly renewsUntil: Date | undefined
  /** One sentence: until when, and what must be done before. */
  readonly advice: string
  /** Why renewal is over for good; undefined while it is not. */
  readonly ended: string | undefined
}

/** Keeps each named proxy fresh; one renewal of each is under way at most, however many ask. */
export interface ProxyEngine {
  /** Names of the proxies; the first is the one that is meant when none is named. */
  readonly names: readonly string[]
  /** The proxy in hand, when it is whole and valid now. Cheap: it is asked for every request. */
  current(name?: string): HeldProxy | undefined
  /**
   * The proxy in hand, or the one that the renewal under way brings.
   *
   * @throws {TtsError} `not_found` (no proxy of this name), and what the renewal failed with
   */
  obtain(name: string | undefined, signal: AbortSignal): Promise<HeldProxy>
  /**
   * Renews when the proxy is due, or valid for less than `validForSeconds` where that is given. When another certcache
   * holds the lock it is asked to.
   *
   * @returns `elsewhere` when another certcache keeps this proxy fresh
   * @throws {TtsError} what the renewal failed with
   */
  renewIfDue(
    wanted: { readonly name: string | undefined; readonly validForSeconds: number | undefined },
    signal: AbortSignal,
  ): Promise<{ readonly renewed: boolean; readonly proxy: HeldProxy; readonly elsewhere?: boolean }>
  status(): { readonly proxies: readonly RenewalStatus[]; readonly source: SourceStatus }
  /** Ends the loop; a write that was begun is finished. */
  close(): Promise<void>
}

/** Time, handed in: a test lives through a month in seconds. */
export interface Clock {
  now(): Date
  /** Settles early, without error, when the signal is aborted. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>
}

/** The records of web sessions, and the interface of their store. */

/** One login: the user, and the access token that is verified again at each request. */
export interface SessionLogin {
  readonly providerId: string
  readonly issuer: string
  readonly sub: string
  readonly accessToken: string
  /** Milliseconds since the epoch. */
  readonly expiresAtMs: number
  readonly refreshToken: string | undefined
}

/** A relying service's verified request for one of its users. It can be used once. */
export interface RelyingRequest {
  /** Id of the relying service. */
  readonly siteId: string
  readonly sub: string
  readonly serviceId: string
  readonly parameters: Readonly<Record<string, unknown>>
  /** Id of the provider where the user must still log in; undefined: no login is needed. */
  readonly loginAt: string | undefined
  readonly successUrl: string
  readonly failedUrl: string
}

/** The content of a session; encrypted under the master key in the database. */
export interface SessionContent {
  readonly login: SessionLogin
  /** The user's name, for display only. */
  readonly displayName: string
  /** Logins at other providers that plugins required. */
  readonly additionalLogins: readonly SessionLogin[]
  /** A request that waits for such a login. */
  readonly pending:
    | { readonly serviceId: string; readonly parameters: Readonly<Record<string, string>> }
    | undefined
  /** Set when a relying service sent the user: then `login` names the site's user and has no token. */
  readonly relying?: RelyingRequest
}

/** A stored session. */
export interface StoredSession {
  /** SHA-256 of the session's id, hex: a reader of the database cannot take over the session. */
  readonly idDigest: string
  readonly createdAt: Date
  readonly lastUsedAt: Date
  /** When it ends in any case. */
  readonly endsAt: Date
  readonly content: SessionContent
}

/** The store of sessions. Promises settle like those of `Store`. */
export interface SessionRecords {
  /** Stores a session and ends the oldest of the identity if there are more than `maximum`. */
  create(session: Omit<StoredSession, 'lastUsedAt'>, maximum: number): Promise<void>
  /**
   * Finds a session that has not ended at `now` and was used after `usedAfter`; undefined also if it cannot be
   * decrypted.
   */
  find(
    idDigest: string,
    times: { readonly now: Date; readonly usedAfter: Date },
  ): Promise<StoredSession | undefined>
  /** Records that it was used. */
  used(idDigest: string, at: Date): Promise<void>
  /** Replaces its content; false when it no longer exists. */
  replace(
    idDigest: string,
    change: { readonly content: SessionContent; readonly endsAt: Date },
  ): Promise<boolean>
  end(idDigest: string): Promise<void>
}

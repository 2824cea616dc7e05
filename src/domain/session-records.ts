/** What is on record about sessions of the web page, and the questions that are asked about them. */

/** One login: who it was, and the access token by which that is shown again at each request. */
export interface SessionLogin {
  readonly providerId: string
  readonly issuer: string
  readonly sub: string
  readonly accessToken: string
  /** Milliseconds since the epoch. */
  readonly expiresAtMs: number
  readonly refreshToken: string | undefined
}

/** What a relying service asks for one of its users, checked and good for once. */
export interface RelyingRequest {
  /** Id of the relying service. */
  readonly siteId: string
  readonly sub: string
  readonly serviceId: string
  readonly parameters: Readonly<Record<string, unknown>>
  /** Id of the provider where the user logs in next, unless that is done; undefined: nowhere. */
  readonly loginAt: string | undefined
  readonly successUrl: string
  readonly failedUrl: string
}

/** What a session holds; in the database only encrypted under the master key. */
export interface SessionContent {
  readonly login: SessionLogin
  /** What the person is called, for the page alone. */
  readonly displayName: string
  /** Logins at other providers that plugins asked for. */
  readonly additionalLogins: readonly SessionLogin[]
  /** A request that waits for such a login. */
  readonly pending:
    | { readonly serviceId: string; readonly parameters: Readonly<Record<string, string>> }
    | undefined
  /** Only where a relying service sent the user: then `login` names the site's user and has no token. */
  readonly relying?: RelyingRequest
}

/** A session on record. */
export interface StoredSession {
  /** SHA-256 of the session's id, hex: whoever reads the database cannot take the session over. */
  readonly idDigest: string
  readonly createdAt: Date
  readonly lastUsedAt: Date
  /** When it ends in any case. */
  readonly endsAt: Date
  readonly content: SessionContent
}

/** The records of sessions; promises settle as those of `Store` do. */
export interface SessionRecords {
  /** Records a session; the oldest of the identity end when there are more than `maximum`. */
  create(session: Omit<StoredSession, 'lastUsedAt'>, maximum: number): Promise<void>
  /** A session that has not ended at `now` and was used after `usedAfter`; undefined also for one that cannot be decrypted. */
  find(
    idDigest: string,
    times: { readonly now: Date; readonly usedAfter: Date },
  ): Promise<StoredSession | undefined>
  /** Notes that it was used. */
  used(idDigest: string, at: Date): Promise<void>
  /** Replaces what it holds; false when it is no more. */
  replace(
    idDigest: string,
    change: { readonly content: SessionContent; readonly endsAt: Date },
  ): Promise<boolean>
  end(idDigest: string): Promise<void>
}

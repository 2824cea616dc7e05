/** What is known of a caller once the bearer token has passed every check; only `verifyToken` makes one. */
export interface VerifiedToken {
  /** Id of the provider in our configuration. */
  readonly providerId: string
  /** Issuer as configured for the provider, one trailing slash removed. */
  readonly issuer: string
  readonly sub: string
  /** Claims of the token, of introspection and of UserInfo as configured, merged; what the verifier returned and nothing else. */
  readonly claims: Readonly<Record<string, unknown>>
  readonly scopes: readonly string[]
  /** The OAuth client that the token was issued to (`client_id`, else `azp`, `cid` or `appid`). */
  readonly clientId: string | undefined
  /** True for a token that speaks for a client and no user (client credentials), or that may do so. */
  readonly clientOnly: boolean
  readonly expiresAt: Date
}

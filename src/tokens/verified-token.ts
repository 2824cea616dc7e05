import type { ProviderProfile } from '../config/provider-profile.ts'

/** A bearer token that has passed every check. Only `verifyToken` makes one. */
export interface VerifiedToken {
  /** Id of the provider in our configuration. */
  readonly providerId: string
  /** Ids of further providers with the same issuer whose checks the token passed. */
  readonly otherProviderIds?: readonly string[]
  /** Product of the provider, for advice. */
  readonly profile: ProviderProfile
  /** Issuer as configured for the provider, one trailing slash removed. */
  readonly issuer: string
  /** The same issuer exactly as the provider publishes it in its discovery document. For plugins only. */
  readonly publishedIssuer: string
  readonly sub: string
  /** Merged claims of the token and, as configured, of introspection and UserInfo. */
  readonly claims: Readonly<Record<string, unknown>>
  readonly scopes: readonly string[]
  /** The OAuth client that the token was issued to (`client_id`, `azp`, `cid` or `appid`). */
  readonly clientId: string | undefined
  /** True for a token that is, or may be, of a client and not of a user (client credentials). */
  readonly clientOnly: boolean
  readonly expiresAt: Date
}

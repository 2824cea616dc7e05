import type { DemoClients } from './clients.ts'
import type { TokenSettings } from './options.ts'
import type { SigningKeys } from './signing-keys.ts'
import type { Users } from './users.ts'

/** Details of a grant that oidc-provider does not store. */
export interface GrantDetails {
  /** Audiences of the authorization or token exchange request. */
  readonly audiences: readonly string[]
  /** RFC 8693 section 4.1. */
  readonly act?: Readonly<Record<string, unknown>>
}

/** The shared state of a running provider. */
export interface ProviderState {
  /** With trailing slash, as in the discovery document of IAM. */
  readonly issuer: string
  readonly clients: DemoClients
  readonly users: Users
  readonly keys: SigningKeys
  readonly tokens: TokenSettings
  readonly grants: Map<string, GrantDetails>
  /** Id in the store of the provider, by access token value. */
  readonly tokenIds: Map<string, string>
  /** Audiences by id of an access token; a refresh may have changed those of the grant. */
  readonly tokenAudiences: Map<string, readonly string[]>
}

/** Returns the issuer in tokens. */
export function tokenIssuer(state: ProviderState): string {
  return state.tokens.issuerSlash ? state.issuer : state.issuer.replace(/\/$/, '')
}

/**
 * Returns the audiences in a request: `resource`, otherwise `audience`, otherwise `aud`, each a space-separated list.
 */
export function requestedAudiences(parameters: Readonly<Record<string, unknown>>): string[] {
  for (const name of ['resource', 'audience', 'aud']) {
    const value = parameters[name]
    if (typeof value === 'string' && value !== '') return value.split(' ').filter(Boolean)
  }
  return []
}

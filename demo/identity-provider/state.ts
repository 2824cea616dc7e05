import type { DemoClients } from './clients.ts'
import type { TokenSettings } from './options.ts'
import type { SigningKeys } from './signing-keys.ts'
import type { Users } from './users.ts'

/** What is remembered of a grant beyond what oidc-provider keeps, by grant id. */
export interface GrantDetails {
  /** Audiences asked for at the authorization or token exchange request. */
  readonly audiences: readonly string[]
  /** RFC 8693 section 4.1. */
  readonly act?: Readonly<Record<string, unknown>>
}

/** Everything that the parts of one running provider share. */
export interface ProviderState {
  /** With trailing slash, as IAM's discovery document has it. */
  readonly issuer: string
  readonly clients: DemoClients
  readonly users: Users
  readonly keys: SigningKeys
  readonly tokens: TokenSettings
  readonly grants: Map<string, GrantDetails>
  /** Access token value → id in the provider's store. */
  readonly tokenIds: Map<string, string>
  /** Id of an access token → the audiences it was issued for, which a refresh may have changed. */
  readonly tokenAudiences: Map<string, readonly string[]>
}

/** The issuer as tokens name it. */
export function tokenIssuer(state: ProviderState): string {
  return state.tokens.issuerSlash ? state.issuer : state.issuer.replace(/\/$/, '')
}

/** The audiences that a request names: `resource` first, then `audience` and `aud`, each a blank-separated list. */
export function requestedAudiences(parameters: Readonly<Record<string, unknown>>): string[] {
  for (const name of ['resource', 'audience', 'aud']) {
    const value = parameters[name]
    if (typeof value === 'string' && value !== '') return value.split(' ').filter(Boolean)
  }
  return []
}

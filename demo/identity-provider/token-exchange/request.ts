import type { Client } from 'oidc-provider'
import type { Refusal } from '../oauth-error.ts'
import type { ProviderState } from '../state.ts'
import type { DemoUser } from '../users.ts'

/** The subject token as the provider has stored it. */
export interface SubjectToken {
  readonly clientId: string
  readonly user: DemoUser | undefined
  readonly scopes: ReadonlySet<string>
  readonly act: Readonly<Record<string, unknown>> | undefined
}

/** A token exchange request (RFC 8693 section 2.1) with everything that the rules look at. */
export interface ExchangeRequest {
  readonly state: ProviderState
  readonly client: Client
  readonly parameters: Readonly<Record<string, unknown>>
  readonly scopes: ReadonlySet<string>
  /** Undefined when the token is unknown, expired, revoked or foreign. */
  readonly subject: SubjectToken | undefined
  /** Scopes that a client may ask for. */
  readonly allowedScopes: (clientId: string) => ReadonlySet<string>
}

/** One rule of IAM about token exchange: answers the reason to refuse, or undefined. */
export type ExchangeRule = (request: ExchangeRequest) => Refusal | undefined

import type { Client } from 'oidc-provider'
import type { Refusal } from '../oauth-error.ts'
import type { ProviderState } from '../state.ts'
import type { DemoUser } from '../users.ts'

/** The stored subject token. */
export interface SubjectToken {
  readonly clientId: string
  readonly user: DemoUser | undefined
  readonly scopes: ReadonlySet<string>
  readonly act: Readonly<Record<string, unknown>> | undefined
}

/** A token exchange request (RFC 8693 section 2.1) with the data for the rules. */
export interface ExchangeRequest {
  readonly state: ProviderState
  readonly client: Client
  readonly parameters: Readonly<Record<string, unknown>>
  readonly scopes: ReadonlySet<string>
  /** Undefined when the token is unknown, expired, revoked or foreign. */
  readonly subject: SubjectToken | undefined
  /** Returns the scopes that a client may request. */
  readonly allowedScopes: (clientId: string) => ReadonlySet<string>
}

/** A rule of IAM about token exchange: returns the refusal, or undefined. */
export type ExchangeRule = (request: ExchangeRequest) => Refusal | undefined

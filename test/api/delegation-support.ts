/** Delegations over real HTTP: a person's token from the demo provider, made, renewed, seen and taken back. */
import { expect } from 'vitest'
import type { IdentityProvider } from '../../demo/identity-provider/server.ts'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { AUDIENCE, type TestService, type TestServiceOptions } from '../support/service.ts'
import { ask, quick, soundCsr } from './support.ts'

/** The sections of a service that makes delegations, changed by `changes`. */
export function delegating(
  changes: {
    readonly delegation?: Record<string, unknown>
    readonly delegations?: Record<string, unknown>
    readonly provider?: Record<string, unknown>
    readonly more?: Record<string, Record<string, unknown>>
  } = {},
): TestServiceOptions {
  return {
    identityProvider: { tokens: { includeAuthnInfo: true } },
    configuration: (provider) => ({
      ...(quick.configuration as Record<string, Record<string, unknown>>),
      providers: {
        iam: { ...providerSettings(provider, changes.delegation), ...changes.provider },
      },
      delegations: { ...changes.delegations },
      ...changes.more,
    }),
  }
}

/** Settings of the demo provider with which it gives delegations. */
export function providerSettings(
  provider: IdentityProvider,
  delegation: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    issuer: provider.issuer,
    alias: 'indigo-iam-test',
    audiences: [AUDIENCE],
    client_id: provider.clients.tts.clientId,
    client_secret: provider.clients.tts.clientSecret,
    delegation,
  }
}

/** A token that a person got by logging in: the provider knows it, as token exchange wants. */
export async function logIn(service: TestService, username = 'alice'): Promise<string> {
  const { issuer } = service.provider
  const login = { issuer, clientId: 'demo-cli', username, scope: 'openid profile' }
  return (await obtainAccessToken({ ...login, audience: AUDIENCE })).access_token
}

export interface Made {
  readonly id: string
  readonly renewal_secret: string
  readonly state: string
  readonly identity: string
  readonly label: string | null
  readonly created_at: string
  readonly renews_until: string
  readonly advice: string
}

/** Makes a delegation. */
export async function delegate(
  service: TestService,
  options: { readonly token?: string; readonly label?: string } = {},
): Promise<Made> {
  const response = await ask(service, '/v1/delegations', {
    token: options.token ?? (await logIn(service)),
    ...(options.label === undefined
      ? {}
      : {
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ label: options.label }),
        }),
  })
  const text = await response.text()
  expect(response.status, text).toBe(201)
  return JSON.parse(text) as Made
}

/** One renewal with a CSR. */
export async function renew(
  service: Pick<TestService, 'url'>,
  { id, renewal_secret: secret }: Pick<Made, 'id' | 'renewal_secret'>,
  query = '',
): Promise<Response> {
  return fetch(`${service.url}/v1/delegations/${id}/proxies${query}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/pkcs10' },
    body: await soundCsr(),
  })
}

export interface Shown extends Omit<Made, 'renewal_secret' | 'renews_until'> {
  readonly renews_until: string | null
  readonly last_used_at: string | null
  readonly ended_at: string | null
  readonly end_reason: string | null
  readonly events: readonly {
    readonly at: string
    readonly event: string
    readonly outcome: string
    readonly address: string
    readonly interface: string
    readonly detail: string | null
  }[]
}

/** The delegation as its renewal secret shows it. */
export async function show(
  service: TestService,
  { id, renewal_secret: token }: Pick<Made, 'id' | 'renewal_secret'>,
): Promise<Shown> {
  const response = await ask(service, `/v1/delegations/${id}`, { method: 'GET', token })
  const text = await response.text()
  expect(response.status, text).toBe(200)
  return JSON.parse(text) as Shown
}

/** Names of what stands in the ledger, newest first. */
export const eventsOf = async (
  service: TestService,
  made: Pick<Made, 'id' | 'renewal_secret'>,
): Promise<readonly string[]> => (await show(service, made)).events.map(({ event }) => event)

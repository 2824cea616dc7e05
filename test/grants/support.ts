import { inspect } from 'node:util'
import type { IdentityProvider } from '../../demo/identity-provider/server.ts'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { TtsError } from '../../src/base/errors.ts'
import type { RefreshTokenStore, HeldRefreshToken } from '../../src/grants/refresh-token.ts'
import { rememberedConfiguration } from '../../src/grants/discovery.ts'
import type { GrantClient, RecoveredGrant } from '../../src/grants/grant.ts'
import { createGrantClient } from '../../src/grants/grant-client.ts'
import type { RequestHabits } from '../../src/config/provider-profile.ts'
import type { ClientAuthentication } from '../../src/tokens/discovery.ts'
import type { Fetch } from '../../src/tokens/limited-fetch.ts'

/** Scopes of a delegation. */
export const SCOPES = ['openid', 'profile', 'offline_access']
const now = (): Date => new Date()

/** What may be changed of a client in tests. */
export interface ClientChanges {
  readonly clientId?: string
  readonly clientSecret?: string | undefined
  readonly authentication?: ClientAuthentication
  readonly habits?: RequestHabits
  readonly timeoutMs?: number
  readonly fetch?: Fetch
}

/** A grant client at the provider; by default that of certcache. */
export function clientAt(provider: IdentityProvider, changes: ClientChanges = {}): GrantClient {
  const { timeoutMs = 5_000, fetch: fetchFunction, habits, ...client } = changes
  const common = { providerId: 'iam', timeoutMs, ...(fetchFunction && { fetch: fetchFunction }) }
  const { issuer, clients } = provider
  return createGrantClient({
    ...common,
    configuration: rememberedConfiguration(
      { ...common, issuer, ...clients.certcache, ...client },
      now,
    ),
    now,
    habits,
  })
}

/** An access token of a person who has logged in. */
export async function logIn(provider: IdentityProvider, scope = 'openid profile'): Promise<string> {
  const { issuer } = provider
  const request = { issuer, clientId: 'demo-cli', username: 'alice', scope }
  return (await obtainAccessToken(request)).access_token
}

/** A signal that nobody raises. */
export const calm = (): AbortSignal => new AbortController().signal

/** A refresh token by token exchange. */
export async function delegation(provider: IdentityProvider): Promise<string> {
  const subjectToken = await logIn(provider)
  const request = { subjectToken, audience: undefined, scopes: SCOPES, signal: calm() }
  return (await clientAt(provider).exchange(request)).refreshToken ?? ''
}

/** The TtsError that a promise is rejected with, and everything that a log could ever print of it. */
export async function refusalOf(
  promise: Promise<unknown>,
): Promise<{ readonly error: TtsError; readonly printed: string }> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof TtsError)) throw new Error(`expected a TtsError, got ${String(error)}`)
  return { error, printed: inspect(error, { depth: 20, showHidden: true, getters: true }) }
}

/** A disk of one record. Two stores over one cell are two processes on one disk. */
export interface Cell {
  held: HeldRefreshToken | undefined
}

/** A store that keeps the record in the cell and counts what is saved. */
export function storeOver(cell: Cell): RefreshTokenStore & { saves: HeldRefreshToken[] } {
  const saves: HeldRefreshToken[] = []
  return {
    saves,
    load: async () => cell.held,
    save: async (held) => {
      saves.push(held)
      cell.held = held
    },
  }
}

/** Answers by the key of their attempt: what outlives a process. */
export type Spool = Map<string, RecoveredGrant>

/** The same client with a spool: each answer is in it before it is told. */
export function spooling<Client extends GrantClient>(client: Client, spool: Spool): Client {
  let made = 0
  return {
    ...client,
    newAttempt: async (owner: string) => {
      made += 1
      return { owner, key: `${spool.size}.${made}`, spool: 'here', begunAt: new Date(0) }
    },
    refresh: async (request: Parameters<GrantClient['refresh']>[0]) => {
      const granted = await client.refresh(request)
      spool.set(request.attempt?.key ?? '', { granted, shown: request.refreshToken })
      return granted
    },
    recover: async ({ key }: { readonly key: string }) => spool.get(key),
    forget: async () => spool.clear(),
  }
}

/** What delegations are made with: for each provider our client there, and the bounds of this service. */
import { TtsError } from '../../base/errors.ts'
import type { GrantClient } from '../../grants/grant.ts'
import type { Log } from '../../base/log.ts'
import type { TokenVerifier } from '../../tokens/verify-token.ts'
import type { DelegationBounds } from './forecast.ts'
import type { IssueDependencies } from '../issuing/issue.ts'
import type { RateLimiter } from '../../limits/rate-limiter.ts'

/** A provider whose users can have delegations. */
export interface DelegationProvider {
  readonly id: string
  readonly client: GrantClient
  readonly scopes: readonly string[]
  /** Audience asked for, so that the tokens are accepted here. */
  readonly audience: string | undefined
  /** Deadline of a token exchange or refresh. */
  readonly timeoutMs: number
}

/** Bounds on what one address or one delegation may cause. */
export interface DelegationRates {
  /** Wrong secrets by address. A right one always passes: 256 random bits are guessed by nobody. */
  readonly wrongSecrets: RateLimiter
  /** Refreshes at the provider by delegation. */
  readonly refreshes: RateLimiter
  /** Refusals that go on a delegation's ledger: who asks in a loop shall not fill it. */
  readonly notedRefusals: RateLimiter
}

export interface DelegationDependencies {
  readonly issuing: IssueDependencies
  readonly verifier: TokenVerifier
  readonly providers: ReadonlyMap<string, DelegationProvider>
  readonly bounds: DelegationBounds
  readonly maximumPerIdentity: number
  readonly rates: DelegationRates
  readonly now: () => Date
  readonly randomBytes: (size: number) => Buffer
  readonly log: Log
}

/** How long the provider is waited for when a refresh token is given back: revocation is a courtesy, and nobody waits long for it. */
const REVOCATION_TIMEOUT_MS = 10_000

/** Tells the provider that refresh tokens are no longer needed, as far as it lets us; answers whether it was told. */
export async function revokeAtProvider(
  provider: DelegationProvider | undefined,
  refreshTokens: readonly (string | undefined)[],
  log: Log,
): Promise<boolean> {
  if (provider === undefined) return false
  const given = refreshTokens.filter((token) => token !== undefined)
  const outcomes = await Promise.allSettled(
    given.map(async (refreshToken) =>
      provider.client.revoke({ refreshToken, signal: AbortSignal.timeout(REVOCATION_TIMEOUT_MS) }),
    ),
  )
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed === undefined) return true
  log.warn(
    { event: 'delegation.token-not-revoked', provider: provider.id, err: failed.reason as unknown },
    'a refresh token that is forgotten here could not be revoked at the provider; it ends there by itself',
  )
  return false
}

/** @throws {TtsError} `provider_unavailable` when the provider of a delegation is not configured for them any more */
export function requireProvider(
  { providers }: Pick<DelegationDependencies, 'providers'>,
  id: string,
): DelegationProvider {
  const provider = providers.get(id)
  if (provider !== undefined) return provider
  throw new TtsError(
    'provider_unavailable',
    `this service renews no delegations of the identity provider ${id} at present`,
    { check: 'delegations', remedy: `Check providers.${id}.delegation.` },
  )
}

/** What our own client got is refused here: the operator must fix it; the caller showed nothing wrong. */
export function refusedHere(providerId: string, cause: TtsError): TtsError {
  return new TtsError(
    'grant_refused',
    `the identity provider gives a token that cannot be used here: ${cause.message}`,
    {
      check: 'exchanged_token',
      remedy: `Check providers.${providerId}.delegation: with its scopes and audience, the tokens of our client must meet what this service requires.${cause.remedy === undefined ? '' : ` ${cause.remedy}`}`,
      cause,
    },
  )
}

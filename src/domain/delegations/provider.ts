/** The dependencies of delegations: our client at each provider, and the limits of this service. */
import { TtsError } from '../../base/errors.ts'
import type { GrantClient } from '../../grants/grant.ts'
import type { Log } from '../../base/log.ts'
import type { TokenVerifier } from '../../tokens/verify-token.ts'
import type { DelegationBounds } from './forecast.ts'
import type { IssueDependencies } from '../issuing/issue.ts'
import type { RateLimiter } from '../../limits/rate-limiter.ts'

/** A provider for whose users delegations are configured. */
export interface DelegationProvider {
  readonly id: string
  readonly client: GrantClient
  readonly scopes: readonly string[]
  /** The audience to request, so that this service accepts the tokens. */
  readonly audience: string | undefined
  /** Deadline of a token exchange or refresh. */
  readonly timeoutMs: number
}

/** Rate limits per address and per delegation. */
export interface DelegationRates {
  /** Wrong secrets per address. A right one always passes: 256 random bits cannot be guessed. */
  readonly wrongSecrets: RateLimiter
  /** Refreshes at the provider per delegation. */
  readonly refreshes: RateLimiter
  /** Refusals written to a delegation's ledger: a client in a loop must not fill it. */
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

/** Short, because a caller waits and revocation at the provider is best effort. */
const REVOCATION_TIMEOUT_MS = 10_000

/**
 * Tries to revoke refresh tokens at the provider and returns whether all were revoked. Logs failures.
 *
 * @see RFC 7009 section 2.1
 */
export async function revokeAtProvider(
  provider: DelegationProvider | undefined,
  refreshTokens: readonly (string | undefined)[],
  log: Log,
): Promise<boolean> {
  if (provider === undefined) return false
  const tokens = refreshTokens.filter((token) => token !== undefined)
  const outcomes = await Promise.allSettled(
    tokens.map(async (refreshToken) =>
      provider.client.revoke({ refreshToken, signal: AbortSignal.timeout(REVOCATION_TIMEOUT_MS) }),
    ),
  )
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed === undefined) return true
  log.warn(
    { event: 'delegation.token-not-revoked', provider: provider.id, err: failed.reason as unknown },
    'could not revoke a deleted refresh token at the provider; it stays valid there until it expires',
  )
  return false
}

/**
 * Returns the provider of a delegation.
 *
 * @throws {TtsError} `provider_unavailable`, check `delegations` (no longer configured)
 */
export function requireProvider(
  { providers }: Pick<DelegationDependencies, 'providers'>,
  id: string,
): DelegationProvider {
  const provider = providers.get(id)
  if (provider !== undefined) return provider
  throw new TtsError(
    'provider_unavailable',
    `delegations of the identity provider ${id} cannot be renewed at present`,
    { check: 'delegations', remedy: `Check providers.${id}.delegation.` },
  )
}

/**
 * Returns the error for a token that our own client got and this service refuses: a fault of the set-up, not of the
 * caller.
 */
export function refusedHere(providerId: string, cause: TtsError): TtsError {
  return new TtsError(
    'grant_refused',
    `the identity provider gave a token that cannot be used here: ${cause.message}`,
    {
      check: 'exchanged_token',
      remedy: `Check providers.${providerId}.delegation: with its scopes and audience, the tokens of our client must meet what this service requires.${cause.remedy === undefined ? '' : ` ${cause.remedy}`}`,
      cause,
    },
  )
}

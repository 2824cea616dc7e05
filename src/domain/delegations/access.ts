/** Who may see, use and take back a delegation: its identity with a token, whoever has its renewal secret, the operator. */
import { TtsError } from '../../base/errors.ts'
import { lastDay } from './forecast.ts'
import { ledgerEntry } from './ledger.ts'
import { type DelegationDependencies, revokeAtProvider } from './provider.ts'
import type { Delegation } from './records.ts'
import { isRenewalSecret, isSecretOf } from './secret.ts'
import type { Identity, Origin } from '../records.ts'
import type { Store } from '../store.ts'

/** A bearer credential, a token or a renewal secret, and where it came from. */
export interface DelegationCaller {
  readonly bearer: string
  readonly origin: Origin
  /** What the rate of wrong secrets is counted by. */
  readonly addressKey: string
  readonly signal: AbortSignal
}

/**
 * The delegation whose renewal secret this is.
 *
 * @throws {TtsError} `invalid_token`, check `renewal_secret`, alike for a wrong secret and a wrong id; `limit_reached`
 */
export async function delegationOfSecret(
  dependencies: DelegationDependencies,
  id: string,
  caller: DelegationCaller,
): Promise<Delegation> {
  const { issuing, rates } = dependencies
  const delegation = await issuing.store.delegations.find(id)
  if (isSecretOf(delegation?.secretHash, caller.bearer) && delegation !== undefined)
    return delegation
  const retryAfterSeconds = rates.wrongSecrets.take(caller.addressKey)
  if (retryAfterSeconds > 0) {
    throw new TtsError('limit_reached', 'too many wrong renewal secrets from your address', {
      check: 'renewal_secret_rate',
      retryAfterSeconds,
    })
  }
  const refusal = new TtsError(
    'invalid_token',
    'there is no delegation of this id with this renewal secret',
    { check: 'renewal_secret' },
  )
  if (delegation !== undefined) {
    const { origin } = caller
    await noteRefusal(dependencies, { delegation, origin, refusal })
  }
  throw refusal
}

/** A refusal goes on the ledger, unless too many came already; into the log it goes always. */
export async function noteRefusal(
  { issuing, rates, now, log }: DelegationDependencies,
  refused: { readonly delegation: Delegation; readonly origin: Origin; readonly refusal: TtsError },
): Promise<void> {
  const { delegation, origin, refusal } = refused
  const { id, identity } = delegation
  const { code, check, remedy } = refusal
  log.info({ event: 'delegation.refused', delegation: id, code, check, remedy }, refusal.message)
  if (rates.notedRefusals.take(id) > 0) return
  const entry = ledgerEntry({ event: 'refused', at: now(), origin, identity, refusal })
  try {
    await issuing.store.delegations.addEvent(id, entry)
  } catch (error) {
    log.error(
      { event: 'ledger.failed', delegation: id, err: error },
      'a refusal could not be noted',
    )
  }
}

/**
 * A delegation for who shows its renewal secret or a token of its identity.
 *
 * @throws {TtsError} `not_found` for a token, also when it is somebody else's; what `delegationOfSecret` throws; what the
 *   verifier throws
 */
export async function delegationFor(
  dependencies: DelegationDependencies,
  id: string,
  caller: DelegationCaller,
): Promise<Delegation> {
  if (isRenewalSecret(caller.bearer)) return delegationOfSecret(dependencies, id, caller)
  const identity = await identityOfCaller(dependencies, caller)
  const delegation =
    identity && (await dependencies.issuing.store.delegations.find(id, identity.id))
  if (delegation === undefined) throw noDelegation()
  return delegation
}

/** The delegations of a token's identity, newest first. @throws {TtsError} what the verifier throws */
export async function listOwnDelegations(
  dependencies: DelegationDependencies,
  caller: DelegationCaller,
): Promise<readonly Delegation[]> {
  const identity = await identityOfCaller(dependencies, caller)
  if (identity === undefined) return []
  return dependencies.issuing.store.delegations.list({ identityId: identity.id, limit: MAX_LISTED })
}

const MAX_LISTED = 1000

async function identityOfCaller(
  { verifier, issuing }: DelegationDependencies,
  { bearer, signal, origin }: DelegationCaller,
): Promise<Identity | undefined> {
  const { issuer, sub } = await verifier.verify(bearer, { signal, address: origin.address })
  return issuing.store.findIdentity({ issuer, sub })
}

/** What became of a revocation. */
export interface DelegationRevocation {
  /** False when it was over before. */
  readonly newlyRevoked: boolean
  /** Whether the provider was told that the refresh token is no longer needed. */
  readonly providerTold: boolean
}

export interface RevocationDependencies extends Pick<
  DelegationDependencies,
  'providers' | 'now' | 'log'
> {
  readonly store: Store
}

/** Takes a delegation back. Nothing is renewed with it from this moment on; a refresh under way gives its token back. */
export async function revokeDelegation(
  { store, providers, now, log }: RevocationDependencies,
  delegation: Delegation,
  { origin, reason }: { readonly origin: Origin; readonly reason: string },
): Promise<DelegationRevocation> {
  const at = now()
  const { id, identity } = delegation
  const entry = ledgerEntry({ event: 'revoked', at, origin, identity, detail: reason })
  const ended = await store.delegations.end(id, { state: 'revoked', at, reason, entry })
  if (ended === undefined) return { newlyRevoked: false, providerTold: false }
  log.info({ event: 'delegation.revoked', delegation: id }, 'delegation revoked')
  if (ended.held === undefined) return { newlyRevoked: true, providerTold: false }
  const provider = providers.get(delegation.providerId)
  const { current, previous } = ended.held
  return {
    newlyRevoked: true,
    providerTold: await revokeAtProvider(provider, [current, previous], log),
  }
}

/** @throws {TtsError} `delegation_ended` for one that is over */
export function requireActive(dependencies: DelegationDependencies, delegation: Delegation): void {
  const { state, endReason } = delegation
  if (state === 'active') {
    if (dependencies.now() < lastDay(delegation, dependencies.bounds)) return
    throw new TtsError(
      'delegation_ended',
      `the delegation is ${dependencies.bounds.maximumDays} days old, the longest that this service allows: a new access token is needed`,
      {
        check: 'maximum_days',
        remedy: 'Raise delegations.maximum_days if delegations may live longer.',
      },
    )
  }
  const why = endReason ?? (state === 'revoked' ? 'it was revoked' : 'it ended')
  throw new TtsError(
    'delegation_ended',
    `the delegation is over (${why}): a new access token is needed`,
    {
      check: state,
    },
  )
}

function noDelegation(): TtsError {
  return new TtsError('not_found', 'there is no delegation of this id', { check: 'delegation' })
}

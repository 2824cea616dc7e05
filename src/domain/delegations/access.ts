/**
 * Access to a delegation: to see, use or revoke it, a caller shows a token of its identity or its renewal secret. The
 * operator needs neither.
 */
import { TtsError } from '../../base/errors.ts'
import { lastDay } from './forecast.ts'
import { ledgerEntry } from './ledger.ts'
import { type DelegationDependencies, revokeAtProvider } from './provider.ts'
import type { Delegation, DelegationFilter } from './records.ts'
import { isRenewalSecret, isSecretOf } from './secret.ts'
import type { Identity, Origin } from '../records.ts'
import type { Store } from '../store.ts'

/** A bearer credential, a token or a renewal secret, and where it came from. */
export interface DelegationCaller {
  readonly bearer: string
  readonly origin: Origin
  /** Key under which wrong secrets are counted. */
  readonly addressKey: string
  readonly signal: AbortSignal
}

/**
 * Returns the delegation that the renewal secret belongs to.
 *
 * @throws {TtsError} `invalid_token`, check `renewal_secret` (wrong secret or wrong id: the answers do not differ)
 * @throws {TtsError} `limit_reached`, check `renewal_secret_rate` (too many wrong secrets from the address)
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
    'no delegation has this id and this renewal secret',
    { check: 'renewal_secret' },
  )
  if (delegation !== undefined) {
    const { origin } = caller
    await noteRefusal(dependencies, { delegation, origin, refusal })
  }
  throw refusal
}

/** Logs a refusal, and writes it to the delegation's ledger while the rate of such lines permits. */
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
      'could not write a refusal to the ledger',
    )
  }
}

/**
 * Returns a delegation to a caller with its renewal secret or a token of its identity.
 *
 * @throws {TtsError} `not_found` (token only: no such delegation, or another identity owns it)
 * @throws {TtsError} what `delegationOfSecret` and the token verifier throw
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
  if (delegation === undefined) throw delegationNotFound()
  return delegation
}

/**
 * Returns the delegations of the token's identity, newest first.
 *
 * @throws {TtsError} `invalid_request` (`after` is not a delegation of this identity); what the token verifier throws
 */
export async function listOwnDelegations(
  dependencies: DelegationDependencies,
  caller: DelegationCaller,
  filter: Omit<DelegationFilter, 'identityId'>,
): Promise<readonly Delegation[]> {
  const identity = await identityOfCaller(dependencies, caller)
  if (identity === undefined) return []
  const { delegations } = dependencies.issuing.store
  const { after } = filter
  // The answer must not reveal whether somebody else's delegation exists.
  if (typeof after === 'string' && !(await delegations.find(after, identity.id)))
    throw new TtsError('invalid_request', 'after: no delegation has this id')
  return delegations.list({ ...filter, identityId: identity.id })
}

async function identityOfCaller(
  { verifier, issuing }: DelegationDependencies,
  { bearer, signal, origin }: DelegationCaller,
): Promise<Identity | undefined> {
  const { issuer, sub } = await verifier.verify(bearer, { signal, address: origin.address })
  return issuing.store.findIdentity({ issuer, sub })
}

/** The result of a revocation. */
export interface DelegationRevocation {
  /** False when the delegation had ended before. */
  readonly newlyRevoked: boolean
  /** Whether the refresh token was revoked at the provider. */
  readonly providerTold: boolean
}

export interface RevocationDependencies extends Pick<
  DelegationDependencies,
  'providers' | 'now' | 'log'
> {
  readonly store: Store
}

/**
 * Revokes a delegation and tries to revoke its refresh token at the provider. No renewal succeeds from this moment
 * on; a refresh that is under way revokes the token that it gets.
 *
 * @throws {TtsError} `store_unavailable`
 */
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

/** @throws {TtsError} `delegation_ended` unless the delegation is active and younger than `bounds.maximumDays` */
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

function delegationNotFound(): TtsError {
  return new TtsError('not_found', 'no delegation has this id', { check: 'delegation' })
}

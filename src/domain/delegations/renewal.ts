/**
 * Issues proxies to holders of a renewal secret. Every renewal refreshes at the provider first, so that a suspended
 * account gets no proxy.
 */
import { TtsError } from '../../base/errors.ts'
import { delegationOfSecret, noteRefusal, requireActive, type DelegationCaller } from './access.ts'
import { lastDay } from './forecast.ts'
import { ledgerEntry } from './ledger.ts'
import { type DelegationDependencies, refusedHere } from './provider.ts'
import type { Delegation } from './records.ts'
import { type DelegationRefresher, type Refreshed, TAKEN_BACK } from './refresh.ts'
import {
  issue,
  type CredentialRequest,
  type IssuedCertificate,
  requireCertificate,
} from '../issuing/issue.ts'
import type { Origin } from '../records.ts'

export interface RenewalDependencies extends DelegationDependencies {
  readonly refresher: DelegationRefresher
}

/** The requested credential. `read` is called after the secret was checked and before the refresh at the provider. */
export type RequestedCredential = Pick<CredentialRequest, 'read' | 'log'> & {
  readonly serviceId: string
}

export interface Renewal {
  readonly credential: IssuedCertificate
  /** Forecast end of renewal. */
  readonly renewsUntil: Date
}

/**
 * Checks the renewal secret, refreshes at the provider and issues a proxy with the fresh access token.
 *
 * @throws {TtsError} `invalid_token`, check `renewal_secret` (wrong secret or id); `limit_reached`
 * @throws {TtsError} `delegation_ended` (revoked, too old, or refused by the provider for good)
 * @throws {TtsError} `grant_refused`, `provider_unavailable`; what `issue` throws
 */
export async function renewByDelegation(
  dependencies: RenewalDependencies,
  id: string,
  request: { readonly caller: DelegationCaller; readonly credential: RequestedCredential },
): Promise<Renewal> {
  const { caller, credential: requested } = request
  const { origin, signal } = caller
  const delegation = await delegationOfSecret(dependencies, id, caller)
  try {
    await endIfTooOld(dependencies, delegation, origin)
    requireActive(dependencies, delegation)
    const body = await requested.read(undefined)
    const refreshed = await freshToken(dependencies, delegation, caller)
    const issued = await issue(dependencies.issuing, {
      ...requested,
      read: () => body,
      token: refreshed.accessToken,
      delegation,
      origin,
      signal,
    }).catch((error: unknown) => {
      throw aboutProvider(error, delegation.providerId)
    })
    const credential = requireCertificate(issued)
    await noteUse(dependencies, { delegation, origin, credential })
    return { credential, renewsUntil: refreshed.renewsUntil }
  } catch (error) {
    if (error instanceof TtsError)
      await noteRefusal(dependencies, { delegation, origin, refusal: error })
    throw error
  }
}

/** A 401 would wrongly tell the caller that the renewal secret is wrong. */
function aboutProvider(error: unknown, providerId: string): unknown {
  const isAboutToken =
    error instanceof TtsError && ['invalid_token', 'insufficient_scope'].includes(error.code)
  return isAboutToken ? refusedHere(providerId, error) : error
}

/** The caller may stop waiting; the refresh continues, and its refresh token is stored. */
async function freshToken(
  dependencies: RenewalDependencies,
  delegation: Delegation,
  { origin, signal }: DelegationCaller,
): Promise<Refreshed> {
  try {
    return await untilAborted(dependencies.refresher.refresh(delegation, origin), signal)
  } catch (error) {
    if (!(error instanceof TtsError) || error.check !== TAKEN_BACK) throw error
    const found = await dependencies.issuing.store.delegations.find(delegation.id)
    if (found !== undefined) requireActive(dependencies, found)
    throw error
  }
}

async function untilAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise<Value>((resolve, reject) => {
    const give = (): void =>
      reject(
        new TtsError('provider_unavailable', 'the identity provider did not answer in time', {
          check: 'provider',
          retryAfterSeconds: 5,
        }),
      )
    if (signal.aborted) give()
    signal.addEventListener('abort', give, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', give))
  })
}

/** Ends a delegation that has reached its maximum age, whether or not the provider would still renew it. */
async function endIfTooOld(
  dependencies: RenewalDependencies,
  delegation: Delegation,
  origin: Origin,
): Promise<void> {
  const { now, bounds, issuing } = dependencies
  if (delegation.state !== 'active' || now() < lastDay(delegation, bounds)) return
  const at = now()
  const reason = `it was ${bounds.maximumDays} days old, the longest that this service allows`
  const { id, identity } = delegation
  const entry = ledgerEntry({ event: 'ended', at, origin, identity, detail: reason })
  await issuing.store.delegations.end(id, { state: 'ended', at, reason, entry })
}

interface Use {
  readonly delegation: Delegation
  readonly origin: Origin
  readonly credential: IssuedCertificate
}

async function noteUse(dependencies: RenewalDependencies, use: Use): Promise<void> {
  const { issuing, now, log } = dependencies
  const { delegation, origin, credential } = use
  const { id, identity } = delegation
  const detail = `credential ${credential.id} of the service ${credential.serviceId}, until ${credential.notAfter.toISOString()}`
  const entry = ledgerEntry({ event: 'used', at: now(), origin, identity, detail })
  try {
    await issuing.store.delegations.used(id, entry)
  } catch (error) {
    // Not fatal: the record of the credential names its delegation.
    log.error(
      { event: 'ledger.failed', delegation: id, err: error },
      'could not write a use to the ledger',
    )
  }
}

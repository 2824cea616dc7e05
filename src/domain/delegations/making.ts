/** Makes a delegation: exchanges an access token for a refresh token of our own client and stores that. */
import { randomUUID } from 'node:crypto'
import { TtsError } from '../../base/errors.ts'
import { heldRefreshToken } from '../../grants/refresh-token.ts'
import type { Granted } from '../../grants/grant.ts'
import type { Log } from '../../base/log.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'
import { authorise } from '../issuing/authorise.ts'
import { requireSameIdentity } from '../issuing/callers.ts'
import { renewsUntil } from './forecast.ts'
import { ledgerEntry } from './ledger.ts'
import {
  type DelegationDependencies,
  type DelegationProvider,
  revokeAtProvider,
  refusedHere,
} from './provider.ts'
import type { Delegation } from './records.ts'
import { newRenewalSecret } from './secret.ts'
import { sampleOf } from '../issuing/issue-audit.ts'
import type { Origin } from '../records.ts'
import type { Service } from '../issuing/service.ts'

/** A request for a delegation. */
export interface DelegationRequest {
  /** The bearer token, not yet verified. */
  readonly token: string
  /** Reads the owner's label for the delegation; called after the token was verified. */
  readonly readLabel: () => string | undefined | Promise<string | undefined>
  readonly origin: Origin
  readonly signal: AbortSignal
  readonly log: Log
}

/** A new delegation with its renewal secret, which is shown only once. */
export interface MadeDelegation {
  readonly delegation: Delegation
  readonly renewalSecret: string
}

/**
 * Makes a delegation. When the promise is fulfilled, the encrypted refresh token is in the database. When it is
 * rejected, nothing is stored, and a refresh token that was obtained is revoked if the provider permits that.
 *
 * @throws {TtsError} what the token verifier throws
 * @throws {TtsError} `access_denied` (the caller may not use any service)
 * @throws {TtsError} `not_found`, check `delegations` (not configured for the provider)
 * @throws {TtsError} `grant_refused` (the provider refuses the exchange, or its token is not usable here)
 * @throws {TtsError} `conflict`, check `delegations_per_identity`; `limit_reached`; `overloaded`
 * @throws {TtsError} `provider_unavailable`, `store_unavailable`
 * @see RFC 8693 section 2.1
 */
export async function makeDelegation(
  dependencies: DelegationDependencies,
  request: DelegationRequest,
): Promise<MadeDelegation> {
  let caller: VerifiedToken | undefined
  let leave: (() => void) | undefined
  try {
    // 1. Verify the token and check that its owner may use some service.
    const { signal, origin } = request
    caller = await dependencies.verifier.verify(request.token, { signal, address: origin.address })
    leave = dependencies.issuing.identityShare.enter(caller)
    await dependencies.issuing.bans.requireNotBanned(caller)
    return await exchange(dependencies, request, caller)
  } catch (error) {
    throw await recordRefusal(dependencies, { request, caller, error })
  } finally {
    leave?.()
  }
}

async function exchange(
  dependencies: DelegationDependencies,
  request: DelegationRequest,
  caller: VerifiedToken,
): Promise<MadeDelegation> {
  const provider = requireDelegationProvider(dependencies, caller.providerId)
  requireSomeService(dependencies.issuing.services, caller)
  dependencies.issuing.limiter.check(caller)
  const label = await request.readLabel()

  // 2. Exchange the token. Only the client's own deadline stops the exchange: if the caller could abort it, a refresh
  //    token might be issued that nobody holds and nobody can revoke.
  const granted = await provider.client.exchange({
    subjectToken: request.token,
    audience: provider.audience,
    scopes: provider.scopes,
    signal: new AbortController().signal,
  })
  return storeGranted(dependencies, { request, caller, provider, granted, label })
}

interface Exchanged {
  readonly request: DelegationRequest
  readonly caller: VerifiedToken
  readonly provider: DelegationProvider
  readonly granted: Granted
  readonly label: string | undefined
}

async function storeGranted(
  dependencies: DelegationDependencies,
  exchanged: Exchanged,
): Promise<MadeDelegation> {
  const { provider, granted, request } = exchanged
  try {
    // 3. Check the new token: it must be of the same identity and allowed to use a service. Otherwise every renewal
    //    would fail.
    await requireUsableToken(dependencies, exchanged)
    // Without a caller nobody would ever learn the secret.
    if (request.signal.aborted) throw cancelledRequest()
    await dependencies.issuing.bans.requireNotBanned(exchanged.caller)
    // 4. Store before answering.
    return await record(dependencies, exchanged)
  } catch (error) {
    await revokeAtProvider(provider, [granted.refreshToken], request.log)
    throw error
  }
}

async function requireUsableToken(
  { verifier, issuing }: DelegationDependencies,
  { caller, granted, provider, request }: Exchanged,
): Promise<void> {
  let fresh: VerifiedToken
  try {
    fresh = await verifier.verify(granted.accessToken, { signal: request.signal })
  } catch (error) {
    if (!(error instanceof TtsError) || error.code === 'provider_unavailable') throw error
    throw refusedHere(provider.id, error)
  }
  requireSameIdentity(fresh, caller)
  try {
    requireSomeService(issuing.services, fresh)
  } catch (error) {
    if (!(error instanceof TtsError)) throw error
    throw refusedHere(provider.id, error)
  }
}

async function record(
  dependencies: DelegationDependencies,
  { request, caller, provider, granted, label }: Exchanged,
): Promise<MadeDelegation> {
  const { issuing, bounds, now } = dependencies
  const { origin, log } = request
  const identity = await issuing.subjects.identify(caller)
  const { secret, hash } = newRenewalSecret(dependencies.randomBytes)
  const createdAt = now()
  const held = heldRefreshToken(granted, createdAt)
  const made = {
    id: randomUUID(),
    providerId: provider.id,
    label,
    secretHash: hash,
    clientId: caller.clientId,
    createdAt,
    origin,
  }
  const until = renewsUntil(held, made, bounds)
  await issuing.store.delegations.create(
    { ...made, identityId: identity.id, renewsUntil: until, held },
    ledgerEntry({ event: 'made', at: createdAt, origin, identity }),
    dependencies.maximumPerIdentity,
  )
  log.info(
    {
      event: 'delegation.made',
      delegation: made.id,
      subject: identity.subject,
      renews_until: until,
    },
    'delegation made',
  )
  const delegation: Delegation = {
    ...made,
    identity,
    state: 'active',
    renewsUntil: until,
    rotates: undefined,
    lastUsedAt: undefined,
    endedAt: undefined,
    endReason: undefined,
  }
  return { delegation, renewalSecret: secret }
}

/** @throws {TtsError} `not_found`, check `delegations` */
function requireDelegationProvider(
  { providers }: DelegationDependencies,
  id: string,
): DelegationProvider {
  const provider = providers.get(id)
  if (provider !== undefined) return provider
  throw new TtsError(
    'not_found',
    `delegations are not available for users of the identity provider ${id}`,
    { check: 'delegations', remedy: `Check providers.${id}.delegation.` },
  )
}

/** @throws {TtsError} `access_denied`, check `authorisation` (the token's owner may not use any service) */
function requireSomeService(services: ReadonlyMap<string, Service>, token: VerifiedToken): void {
  const enabled = [...services.values()].filter((service) => service.enabled)
  const verdicts = enabled.map((service) => authorise(service.authz, token))
  if (verdicts.some(({ allowed }) => allowed)) return
  const remedy = verdicts[0]?.remedy
  throw new TtsError(
    'access_denied',
    `you may not use any service here, so there is nothing to delegate: ${verdicts[0]?.reason ?? 'no service is enabled'}`,
    { check: 'authorisation', ...(remedy === undefined ? {} : { remedy }) },
  )
}

function cancelledRequest(): TtsError {
  return new TtsError('overloaded', 'the request was cancelled before it was answered', {
    check: 'deadline',
    retryAfterSeconds: 5,
  })
}

interface Refused {
  readonly request: DelegationRequest
  readonly caller: VerifiedToken | undefined
  readonly error: unknown
}

/** Logs and records a refusal, like those of credentials, and returns its error. */
async function recordRefusal(
  { issuing, now }: DelegationDependencies,
  { request, caller, error }: Refused,
): Promise<unknown> {
  if (!(error instanceof TtsError)) return error
  const { log, origin } = request
  const { code, check, remedy } = error
  const { address } = origin
  const sample = sampleOf(issuing, { address, identity: caller, refusal: error })
  if (sample === undefined) return error
  log.info({ event: 'delegation.refused', code, check, remedy, ...sample }, error.message)
  try {
    await issuing.store.recordAudit({
      at: now(),
      event: 'delegation.refused',
      outcome: 'refused',
      origin,
      issuer: caller?.issuer,
      sub: caller?.sub,
      serviceId: undefined,
      credentialId: undefined,
      code,
      check,
      detail: error.message.slice(0, 500),
    })
  } catch (failure) {
    log.error({ event: 'audit.failed', err: failure }, 'could not record a refusal')
  }
  return error
}

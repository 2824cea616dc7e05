/** A delegation is made: an access token is exchanged for a refresh token of our own client, and that is put on record. */
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

/** Who wants a delegation, and from where. */
export interface DelegationRequest {
  /** The bearer token as it came, unverified. */
  readonly token: string
  /** Reads what the owner calls it; called once the caller is known. */
  readonly readLabel: () => string | undefined | Promise<string | undefined>
  readonly origin: Origin
  readonly signal: AbortSignal
  readonly log: Log
}

/** What is answered; the secret is shown this once. */
export interface MadeDelegation {
  readonly delegation: Delegation
  readonly renewalSecret: string
}

/**
 * Makes a delegation. When it answers, the refresh token is on record, encrypted; when it throws, none is left anywhere, as
 * far as the provider lets us.
 *
 * @throws {TtsError} what the verifier throws; `access_denied` for who may use no service; `not_found`, check
 *   `delegations`, where the provider has none; `grant_refused`; `conflict` for who has too many; `provider_unavailable`; `store_unavailable`
 */
export async function makeDelegation(
  dependencies: DelegationDependencies,
  request: DelegationRequest,
): Promise<MadeDelegation> {
  let caller: VerifiedToken | undefined
  let leave: (() => void) | undefined
  try {
    // 1. Who is it, and may they use anything here at all?
    const { signal, origin } = request
    caller = await dependencies.verifier.verify(request.token, { signal, address: origin.address })
    leave = dependencies.issuing.identityShare.enter(caller)
    return await exchange(dependencies, request, caller)
  } catch (error) {
    throw await noted(dependencies, { request, caller, error })
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

  // 2. The provider gives our own client a refresh token. It is not stopped half-way, only by the client's own deadline:
  // that token would be nobody's.
  const granted = await provider.client.exchange({
    subjectToken: request.token,
    audience: provider.audience,
    scopes: provider.scopes,
    signal: new AbortController().signal,
  })
  return keepGranted(dependencies, { request, caller, provider, granted, label })
}

interface Exchanged {
  readonly request: DelegationRequest
  readonly caller: VerifiedToken
  readonly provider: DelegationProvider
  readonly granted: Granted
  readonly label: string | undefined
}

async function keepGranted(
  dependencies: DelegationDependencies,
  exchanged: Exchanged,
): Promise<MadeDelegation> {
  const { provider, granted, request } = exchanged
  try {
    // 3. Will it do? It must speak for the same identity and be let in, or every renewal would be refused.
    await requireUseful(dependencies, exchanged)
    // The caller has gone: nobody would ever know the secret.
    if (request.signal.aborted) throw gone()
    // 4. On record before it is answered.
    return await record(dependencies, exchanged)
  } catch (error) {
    await revokeAtProvider(provider, [granted.refreshToken], request.log)
    throw error
  }
}

async function requireUseful(
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
      renewsUntil: until,
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
    `this service makes no delegations for users of the identity provider ${id}`,
    { check: 'delegations', remedy: `Check providers.${id}.delegation.` },
  )
}

/** @throws {TtsError} `access_denied`, check `authorisation`, for who may use no service */
function requireSomeService(services: ReadonlyMap<string, Service>, token: VerifiedToken): void {
  const enabled = [...services.values()].filter((service) => service.enabled)
  const verdicts = enabled.map((service) => authorise(service.authz, token))
  if (verdicts.some(({ allowed }) => allowed)) return
  const remedy = verdicts[0]?.remedy
  throw new TtsError(
    'access_denied',
    `you may use no service here, so that there is nothing to delegate: ${verdicts[0]?.reason ?? 'no service is enabled'}`,
    { check: 'authorisation', ...(remedy === undefined ? {} : { remedy }) },
  )
}

function gone(): TtsError {
  return new TtsError('overloaded', 'the request was given up before it was answered', {
    check: 'deadline',
    retryAfterSeconds: 5,
  })
}

interface Refused {
  readonly request: DelegationRequest
  readonly caller: VerifiedToken | undefined
  readonly error: unknown
}

/** A refusal goes on record and into the log, as those of credentials do. */
async function noted(
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
    log.error({ event: 'audit.failed', err: failure }, 'a refusal could not be put on record')
  }
  return error
}

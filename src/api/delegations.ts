/** /v1/delegations: creation needs an access token, renewal the renewal secret; reading and revoking accept either. */
import { Router, type Request, type RequestHandler, type Response } from 'express'
import {
  delegationFor,
  listOwnDelegations,
  revokeDelegation,
  type DelegationCaller,
} from '../domain/delegations/access.ts'
import { adviceFor } from '../domain/delegations/forecast.ts'
import { makeDelegation } from '../domain/delegations/making.ts'
import type { DelegationDependencies } from '../domain/delegations/provider.ts'
import type { Delegation, DelegationEvent } from '../domain/delegations/records.ts'
import { type RenewalDependencies, renewByDelegation } from '../domain/delegations/renewal.ts'
import type { Origin } from '../domain/records.ts'
import { TtsError } from '../base/errors.ts'
import type { Metrics } from '../service/metrics.ts'
import { readRequestBody, requestParameters } from './body.ts'
import { requestSignal, withinSignal } from './deadline.ts'
import { addressKey } from '../limits/address-key.ts'
import { readCredentialRequest, nativeServices, sendCredential, wantsJson } from './native.ts'
import type { Answer } from './openapi/answers.ts'
import { pageOf, pageParameters, readPage, storeFilter } from './pages.ts'
import { readQuery, requireKnown } from './query.ts'
import { bearerToken, contextOf, routeName } from './request.ts'

export interface DelegationRoutesDependencies {
  readonly delegations: RenewalDependencies
  readonly metrics: Metrics
  readonly maxBodyBytes: number
  /** Deadline of a request that does not wait for the provider, in milliseconds. */
  readonly requestTimeoutMs: number
}

/** Number of events that an answer shows. */
const MAX_EVENTS = 100
const MAX_LABEL = 100

export function delegationRoutes(dependencies: DelegationRoutesDependencies): Router {
  const router = Router()
  const { delegations } = dependencies
  const all = routeName('/v1/delegations')
  const one = routeName('/v1/delegations/:id')
  router.post('/delegations', all, make(dependencies))
  router.get('/delegations', all, list(delegations))
  router.get('/delegations/:id', one, show(delegations))
  router.delete('/delegations/:id', one, revoke(delegations))
  const proxies = routeName('/v1/delegations/:id/proxies')
  router.post('/delegations/:id/proxies', proxies, renew(dependencies))
  return router
}

function make(dependencies: DelegationRoutesDependencies): RequestHandler {
  const { delegations, maxBodyBytes } = dependencies
  return async function make(request, response) {
    const token = bearerToken(request)
    const { log } = contextOf(response)
    const signal = providerSignal(dependencies, response)
    const read = async (): Promise<string | undefined> =>
      readLabel(requestParameters(request, await readRequestBody(request, response, maxBodyBytes)))
    const creation = { token, readLabel: read, origin: originOf(response), signal, log }
    const created = await withinSignal(makeDelegation(delegations, creation), signal)
    response.setHeader('Cache-Control', 'no-store')
    const { id, ...rest } = presentDelegation(created.delegation, delegations)
    const answer: Answer<'NewDelegation'> = { id, renewal_secret: created.renewalSecret, ...rest }
    response.status(201).json(answer)
  }
}

function renew(dependencies: DelegationRoutesDependencies): RequestHandler {
  const { delegations, metrics, maxBodyBytes } = dependencies
  return async function renew(request, response) {
    const signal = providerSignal(dependencies, response)
    const caller = { ...callerOf(request, response), signal }
    const asJson = wantsJson(request)
    const read = async () => {
      const body = await readRequestBody(request, response, maxBodyBytes)
      return readCredentialRequest(delegations.issuing, { request, body, path: 'proxies' })
    }
    const wanted = { serviceId: nativeServices.proxies, read, log: contextOf(response).log }
    const id = secretId(request)
    const renewal = await withinSignal(
      renewByDelegation(delegations, id, { caller, credential: wanted }),
      signal,
    )
    metrics.credentialIssued(renewal.credential.serviceId)
    response.setHeader('TTS-Renews-Until', renewal.renewsUntil.toISOString())
    sendCredential(response, renewal.credential, { asJson })
  }
}

function list(delegations: DelegationDependencies): RequestHandler {
  return async function list(request, response) {
    const caller = callerOf(request, response)
    const wanted = readPage(readQuery(request, pageParameters))
    const own = await listOwnDelegations(delegations, caller, storeFilter(wanted))
    const { limit } = wanted
    const { page, next } = pageOf(own, { limit, timeOf: ({ createdAt }) => createdAt })
    response.setHeader('Cache-Control', 'no-store')
    response.json({
      delegations: page.map((delegation) => presentDelegation(delegation, delegations)),
      next,
    } satisfies Answer<'DelegationPage'>)
  }
}

function show(delegations: DelegationDependencies): RequestHandler {
  return async function show(request, response) {
    const caller = callerOf(request, response)
    readQuery(request, [])
    const delegation = await delegationFor(delegations, secretId(request), caller)
    const events = await delegations.issuing.store.delegations.events(delegation.id, MAX_EVENTS)
    response.setHeader('Cache-Control', 'no-store')
    response.json({
      ...presentDelegation(delegation, delegations),
      events: events.map(presentEvent),
    } satisfies Answer<'DelegationDetails'>)
  }
}

function revoke(delegations: DelegationDependencies): RequestHandler {
  return async function revoke(request, response) {
    const caller = callerOf(request, response)
    readQuery(request, [])
    const delegation = await delegationFor(delegations, secretId(request), caller)
    const { newlyRevoked, providerTold } = await revokeDelegation(
      { ...delegations, store: delegations.issuing.store },
      delegation,
      { origin: caller.origin, reason: 'revoked by its owner' },
    )
    const { store } = delegations.issuing
    const after = (await store.delegations.find(delegation.id)) ?? delegation
    response.setHeader('Cache-Control', 'no-store')
    response.json({
      ...presentDelegation(after, delegations),
      newly_revoked: newlyRevoked,
      provider_told: providerTold,
    } satisfies Answer<'DelegationRevocation'>)
  }
}

function callerOf(request: Request, response: Response): DelegationCaller {
  const { signal, origin } = contextOf(response)
  return {
    bearer: bearerToken(request),
    origin: originOf(response),
    addressKey: addressKey(origin.address),
    signal,
  }
}

/** Records of these requests name the interface "delegation". */
function originOf(response: Response): Origin {
  return { ...contextOf(response).origin, interface: 'delegation' }
}

/** These requests wait for the provider, so its timeout is added to the deadline. */
function providerSignal(
  { delegations, requestTimeoutMs }: DelegationRoutesDependencies,
  response: Response,
): AbortSignal {
  const provider = Math.max(0, ...[...delegations.providers.values()].map((one) => one.timeoutMs))
  return requestSignal(response, provider + requestTimeoutMs)
}

/** @throws {TtsError} `invalid_request` */
function readLabel({ label, ...rest }: Record<string, unknown>): string | undefined {
  requireKnown(Object.keys(rest), ['label'])
  if (label === undefined) return undefined
  if (typeof label === 'string' && label.length <= MAX_LABEL && !/\p{C}/u.test(label)) return label
  throw new TtsError(
    'invalid_request',
    `label: must be a string of at most ${MAX_LABEL} printable characters`,
  )
}

/**
 * Returns the id in the path. Ids are UUIDs: any other text becomes an id that no delegation has, so that both get
 * the same answer.
 */
function secretId(request: Request): string {
  const { id } = request.params
  const isId = typeof id === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)
  return isId ? id : '00000000-0000-0000-0000-000000000000'
}

/** Returns a delegation as JSON, for its owner and for the operator. */
export function presentDelegation(
  delegation: Delegation,
  { bounds, now }: Pick<DelegationDependencies, 'bounds' | 'now'>,
): Answer<'Delegation'> {
  const { state } = delegation
  return {
    id: delegation.id,
    state,
    identity: delegation.identity.subject,
    label: delegation.label ?? null,
    created_at: delegation.createdAt.toISOString(),
    last_used_at: delegation.lastUsedAt?.toISOString() ?? null,
    renews_until: state === 'active' ? delegation.renewsUntil.toISOString() : null,
    advice: adviceFor(delegation, bounds, now()),
    ended_at: delegation.endedAt?.toISOString() ?? null,
    end_reason: delegation.endReason ?? null,
    provider: delegation.providerId,
    client_id: delegation.clientId ?? null,
    address: delegation.origin.address,
  }
}

/** Returns an event of a delegation as JSON. */
export function presentEvent(line: DelegationEvent): Answer<'DelegationEvent'> {
  return {
    at: line.at.toISOString(),
    event: line.event,
    outcome: line.outcome,
    address: line.origin.address,
    interface: line.origin.interface,
    detail: line.detail ?? null,
  }
}

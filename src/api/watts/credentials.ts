/** Credentials on the paths of WaTTS: request, pick up, delete. */
import type { Request, Response } from 'express'
import { fitsSomeSet } from '../../../plugins/parameters.ts'
import type { CredentialEntry } from '../../../plugins/plugin.ts'
import { identifyCaller } from '../../domain/issuing/callers.ts'
import { deleteCredential } from '../../domain/revocation/credential-deletion.ts'
import { credentialNotFound } from '../../domain/revocation/credentials.ts'
import { recordEarlyRefusal } from '../../domain/issuing/issue-audit.ts'
import { type IssuedCredential, issue, type LoginWanted } from '../../domain/issuing/issue.ts'
import type { Origin } from '../../domain/records.ts'
import { TtsError } from '../../base/errors.ts'
import { requestSignal, withinSignal } from '../deadline.ts'
import { contextOf } from '../request.ts'
import { sendJson, wattsMessages } from './answers.ts'
import type { WattsCaller } from './caller.ts'
import type { Place } from './place.ts'
import type { WaitingAnswer } from './pickups.ts'
import type { WattsDependencies, WattsVisit } from './visit.ts'

/** The body of `POST credential`. */
export interface WattsCredentialRequest {
  readonly serviceId: string
  readonly params: Readonly<Record<string, unknown>>
}

/** Handles `POST credential`. Answers with 303 and the URL where the client picks up the result. */
export async function requestCredential(
  dependencies: WattsDependencies,
  { response, request, place }: WattsVisit,
  {
    caller,
    credentialRequest,
  }: { readonly caller: WattsCaller; readonly credentialRequest: WattsCredentialRequest },
): Promise<void> {
  const { issuing, metrics, pickups } = dependencies
  const { log } = contextOf(response)
  const signal = pluginSignal(dependencies, response, credentialRequest.serviceId)
  const { serviceId, params: parameters } = credentialRequest
  const origin = originOf(response, caller)
  const read = () => ({ serviceId, parameters })
  const application = { ...caller.evidence, serviceId, read, origin, signal, log }
  // A user sent by a relying service may make only the request of that service.
  await caller.session?.relying?.claim(credentialRequest).catch(async (error: unknown) => {
    throw await recordEarlyRefusal(issuing, application, error)
  })
  const canLogIn = caller.session !== undefined
  const answer = await withinSignal(issue(issuing, { ...application, canLogIn }), signal).catch(
    (error: unknown) => {
      throw translateParameterError(dependencies, credentialRequest, error)
    },
  )
  if (answer.kind === 'credential') metrics.credentialIssued(serviceId)
  const waiting = await waitingAnswer(dependencies, caller, answer)
  const id = await pickups.keep(caller.token, waiting)
  // The header name must be lower case on the wire: ttscache searches for `location`.
  response
    .status(303)
    .setHeader('location', pickupUrl(dependencies, { request, place, caller, id }))
    .setHeader('Cache-Control', 'no-cache')
    .setHeader('Content-Type', 'application/json')
    .end()
}

/** WaTTS has a fixed text for keys that match no parameter set. Errors about a value stay as they are. */
function translateParameterError(
  { issuing }: WattsDependencies,
  { serviceId, params }: WattsCredentialRequest,
  error: unknown,
): unknown {
  if (!(error instanceof TtsError) || error.check !== 'parameters') return error
  const sets = issuing.services.get(serviceId)?.plugin.parameterSets ?? []
  if (fitsSomeSet(sets, Object.keys(params))) return error
  return new TtsError('invalid_request', wattsMessages.invalidParameters, { check: 'parameters' })
}

async function waitingAnswer(
  { sessions }: WattsDependencies,
  { session }: WattsCaller,
  answer: IssuedCredential | LoginWanted,
): Promise<WaitingAnswer> {
  if (answer.kind === 'credential') {
    const { id, entries } = answer
    return { kind: 'credential', id, entries }
  }
  const { provider, message: msg } = answer
  const url = (await session?.relying?.loginPath(provider)) ?? sessions?.loginPath(provider) ?? ''
  return { kind: 'login', provider, url, msg }
}

/** Returns an absolute URL on the host of the request, because clients send their token to it. */
function pickupUrl(
  { publicUrl }: WattsDependencies,
  pickup: {
    readonly request: Request
    readonly place: Place
    readonly caller: WattsCaller
    readonly id: string
  },
): string {
  const { request, place, caller, id } = pickup
  const path =
    place.version === 1
      ? `/api/v1/credential_data/${id}`
      : `/api/v2/${caller.token.providerId}/credential_data/${id}`
  return `${publicUrl?.replace(/\/$/, '') ?? requestBaseUrl(request)}${path}`
}

/** Returns the base URL of the request, with the local address if the header Host is not a valid host name. */
function requestBaseUrl(request: Request): string {
  const host = request.get('host') ?? ''
  if (/^[A-Za-z0-9.-]{1,253}(:\d{1,5})?$|^\[[0-9a-fA-F:.]{2,45}\](:\d{1,5})?$/.test(host))
    return `${request.protocol}://${host}`
  const { localAddress = '127.0.0.1', localPort = 80 } = request.socket
  const address = localAddress.includes(':') ? `[${localAddress}]` : localAddress
  return `${request.protocol}://${address}:${localPort}`
}

/** Handles `GET credential_data/<id>`. */
export async function pickUpCredential(
  { pickups }: WattsDependencies,
  { response, place }: WattsVisit,
  caller: WattsCaller,
): Promise<void> {
  const answer = await pickups.take(caller.token, place.id ?? '')
  sendJson(response, presentAnswer(answer, place.version), { cacheControl: 'no-cache, no-store' })
}

function presentAnswer(answer: WaitingAnswer, version: 1 | 2): object {
  if (answer.kind === 'login') {
    const { provider, url, msg } = answer
    return { result: 'oidc_login', oidc_login: { provider, url, msg } }
  }
  const { id, entries } = answer
  const presented = entries.map(presentEntry)
  return version === 1
    ? [{ name: 'id', type: 'text', value: id }, ...presented]
    : { result: 'ok', credential: { id, entries: presented } }
}

function presentEntry({ saveAs, ...entry }: CredentialEntry): object {
  return { ...entry, ...(saveAs === undefined ? {} : { save_as: saveAs }) }
}

/** Handles `DELETE credential/<id>`. */
export async function removeCredential(
  dependencies: WattsDependencies,
  { response, place }: WattsVisit,
  caller: WattsCaller,
): Promise<void> {
  const { issuing, credentials, settings } = dependencies
  const { log } = contextOf(response)
  const identity = await issuing.store.findIdentity(caller.token)
  if (identity === undefined) throw credentialNotFound()
  const id = place.id ?? ''
  const serviceId = (await issuing.store.findCredential(id, identity.id))?.serviceId ?? ''
  const signal = pluginSignal(dependencies, response, serviceId)
  const { address } = originOf(response, caller)
  const identified = await identifyCaller(issuing, caller.evidence, { signal, address })
  const application = {
    id,
    identity,
    caller: (id: string) => {
      const service = issuing.services.get(id)
      return identified.forPlugin(service ?? { passesAccessToken: false })
    },
    origin: originOf(response, caller),
    signal,
    log,
    dropOrphan: settings.allow_dropping_credentials,
  }
  await withinSignal(deleteCredential(credentials, application), signal).catch((error: unknown) => {
    throw translatePluginError(error)
  })
  sendJson(response, { result: 'ok' })
}

/**
 * If the plugin did not revoke its credential, WaTTS answers 500 with the message of the plugin, whatever the reason.
 */
function translatePluginError(error: unknown): unknown {
  if (!(error instanceof TtsError)) return error
  const isFromPlugin =
    error.code === 'plugin_failed' || (error.code === 'access_denied' && error.check === 'refused')
  return isFromPlugin
    ? new TtsError('plugin_failed', error.message, { check: 'revocation', cause: error })
    : error
}

function originOf(response: Response, { session, token }: WattsCaller): Origin {
  const name = session === undefined ? 'watts' : token.providerId.startsWith('rsp-') ? 'rsp' : 'web'
  return { ...contextOf(response).origin, interface: name }
}

/** The deadline includes the time that the plugin may take. */
function pluginSignal(
  { issuing, requestTimeoutMs }: WattsDependencies,
  response: Response,
  serviceId: string,
): AbortSignal {
  const patienceMs = (issuing.services.get(serviceId)?.plugin.patienceSeconds ?? 0) * 1000
  return requestSignal(response, requestTimeoutMs + patienceMs)
}

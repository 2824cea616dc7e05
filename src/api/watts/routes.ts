/**
 * The REST API that WaTTS had, versions 1 and 2, under `/api`. One handler, since its clients lean on the order of checks:
 * method, sense, who asks, what they accept, and only then what is there.
 */
import { Router, type Request, type RequestHandler } from 'express'
import { WATTS_VERSION } from '../../../plugins/executable/input.ts'
import { recordEarlyRefusal } from '../../domain/issuing/issue-audit.ts'
import { TtsError } from '../../base/errors.ts'
import { readJson } from '../../../plugins/json.ts'
import { hasBody } from '../../http/request-body.ts'
import { bodyOf } from '../body.ts'
import { contextOf } from '../request.ts'
import { badRequest, sendJson, wattsMessages } from './answers.ts'
import { callerOf, type WattsCaller } from './caller.ts'
import {
  type WantedCredential,
  pickUpCredential,
  removeCredential,
  requestCredential,
} from './credentials.ts'
import { sendCredentials, listProviders, listServices } from './lists.ts'
import { checkPlace, type Place, providerNamed, readPlace, type ResourceType } from './place.ts'
import { createPickupDesk } from './pickups.ts'
import type { WattsDependencies, WattsVisit } from './visit.ts'

export type WattsRoutesDependencies = Omit<WattsDependencies, 'pickups'> & {
  readonly maxBodyBytes: number
}

export function wattsRoutes(given: WattsRoutesDependencies): Router {
  const { issuing, settings } = given
  const timeoutSeconds = settings.credential_timeout_seconds
  const dependencies = { ...given, pickups: createPickupDesk({ ...issuing, timeoutSeconds }) }
  const router = Router()
  router.use(answer(dependencies, given.maxBodyBytes))
  return router
}

function answer(dependencies: WattsDependencies, maxBodyBytes: number): RequestHandler {
  const { issuing, sessions } = dependencies
  const { verifier } = issuing
  return async function answer(request, response) {
    const place = readPlace(request)
    response.locals['route'] = `/api/v${place.version}/${place.type}`
    const visit = { request, response, place }
    checkMethod(request, place)
    checkPlace(request, place)
    if (request.method === 'GET' && hasBody(request)) throw badRequest()
    const provider = providerNamed(place.issuer, verifier.providers)
    if (await answerOpenly(dependencies, visit)) return
    const caller = await callerOf({ verifier, sessions }, request, { response, provider }).catch(
      async (error: unknown) => {
        throw request.method === 'POST' ? await refusedCaller(dependencies, visit, error) : error
      },
    )
    // WaTTS looked at the body first. Here nothing of it is read before it is known who asks.
    const wanted =
      request.method === 'POST'
        ? readWanted(await bodyOf(request, response, maxBodyBytes))
        : undefined
    if (request.accepts('application/json') === false)
      throw new TtsError('not_acceptable', 'the answer is application/json')
    await answerCaller(dependencies, visit, { caller, wanted })
  }
}

/** Who asks for a credential and is not known is refused on record, as on every interface. */
async function refusedCaller(
  { issuing }: WattsDependencies,
  { response }: WattsVisit,
  error: unknown,
): Promise<TtsError> {
  const { log, origin } = contextOf(response)
  const asked = { serviceId: undefined, origin: { ...origin, interface: 'watts' }, log }
  return recordEarlyRefusal(issuing, asked, error)
}

/** Methods by type: first those of the list, then those of one thing in it. */
const methods: Readonly<Record<ResourceType, { readonly all: string; readonly one: string }>> = {
  oidcp: { all: 'GET', one: '' },
  info: { all: 'GET', one: '' },
  logout: { all: 'GET', one: '' },
  service: { all: 'GET', one: '' },
  credential: { all: 'GET, POST', one: 'DELETE' },
  credential_data: { all: '', one: 'GET' },
  access_token: { all: 'GET', one: '' },
}

/** HEAD is not among them: of a one-time answer it would take the content away, and show nothing. */
function checkMethod(request: Request, { type, id }: Place): void {
  const offered = id === undefined ? methods[type].all : methods[type].one
  if (offered === '') throw nothingThere()
  if (offered.split(', ').includes(request.method)) return
  request.res?.setHeader('Allow', offered)
  throw new TtsError('method_not_allowed', `this path takes ${offered}`)
}

function nothingThere(): TtsError {
  return new TtsError('not_found', wattsMessages.notFound, { check: 'path' })
}

/** What a POST asks for. @throws {TtsError} `invalid_request` */
function readWanted(body: Buffer): WantedCredential {
  const read = readJson(body.toString('utf8'))
  const wanted = 'value' in read ? read.value : undefined
  if (typeof wanted !== 'object' || wanted === null || Array.isArray(wanted)) throw badRequest()
  const { service_id: serviceId, params = {} } = wanted as Record<string, unknown>
  if (typeof serviceId !== 'string' || typeof params !== 'object' || params === null)
    throw badRequest()
  if (Array.isArray(params)) throw badRequest()
  return { serviceId, params: params as Record<string, unknown> }
}

/** What everybody may ask. */
async function answerOpenly(
  { issuing, sessions }: WattsDependencies,
  { request, response, place }: WattsVisit,
): Promise<boolean> {
  switch (place.type) {
    case 'oidcp':
      sendJson(response, listProviders(issuing.verifier.providers, place.version))
      return true
    case 'logout':
      await sessions?.end(request, response)
      sendJson(response, { result: 'ok' })
      return true
    case 'info': {
      const session = await sessions?.sessionOf(request)
      sendJson(response, {
        // Of WaTTS, as its plugins are told.
        version: WATTS_VERSION,
        redirect_path: sessions?.loginPath(undefined) ?? '',
        error: '',
        logged_in: session !== undefined,
        display_name: session?.displayName ?? '',
        issuer_id: session?.token.providerId ?? '',
        user_documentation: false,
        code_documentation: false,
        ...session?.relying?.info,
      })
      return true
    }
    default:
      return false
  }
}

async function answerCaller(
  dependencies: WattsDependencies,
  visit: WattsVisit,
  {
    caller,
    wanted,
  }: { readonly caller: WattsCaller; readonly wanted: WantedCredential | undefined },
): Promise<void> {
  const { issuing } = dependencies
  const { request, response, place } = visit
  const { token } = caller
  switch (place.type) {
    case 'service':
      sendJson(response, await listServices(issuing, token, place.version))
      return
    case 'access_token':
      sendJson(response, accessTokenOf(caller), { cacheControl: 'no-cache, no-store' })
      return
    case 'credential_data':
      await pickUpCredential(dependencies, visit, caller)
      return
    case 'credential':
      if (wanted !== undefined) {
        requireJson(request)
        await requestCredential(dependencies, visit, { caller, wanted })
      } else if (place.id !== undefined) await removeCredential(dependencies, visit, caller)
      else sendJson(response, await sendCredentials(issuing, token, place.version))
      return
    default:
      throw nothingThere()
  }
}

function requireJson(request: Request): void {
  if (request.is('application/json') !== false) return
  throw new TtsError('unsupported_media_type', 'send application/json')
}

/** A bearer has its token already; to those who are logged in it is handed over. */
function accessTokenOf({ session, token }: WattsCaller): object {
  if (session?.accessToken === undefined) {
    throw new TtsError('invalid_token', 'the access token is shown to who is logged in', {
      check: 'session',
    })
  }
  const { issuer, sub: subject, providerId } = token
  return { access_token: session.accessToken, issuer, subject, issuer_id: providerId }
}

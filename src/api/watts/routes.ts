/**
 * The REST API of WaTTS, versions 1 and 2, under `/api`. One handler serves it, because clients rely on the order of
 * the checks: method, syntax, caller, `Accept`, and only then whether the object exists.
 */
import { Router, type Request, type RequestHandler } from 'express'
import { WATTS_VERSION } from '../../../plugins/executable/input.ts'
import { recordEarlyRefusal } from '../../domain/issuing/issue-audit.ts'
import { TtsError } from '../../base/errors.ts'
import { readJson } from '../../../plugins/json.ts'
import { hasBody } from '../../http/request-body.ts'
import { readRequestBody } from '../body.ts'
import { contextOf } from '../request.ts'
import { badRequest, sendJson, wattsMessages } from './answers.ts'
import { callerOf, type WattsCaller } from './caller.ts'
import {
  type WattsCredentialRequest,
  pickUpCredential,
  removeCredential,
  requestCredential,
} from './credentials.ts'
import { sendCredentials, listProviders, listServices } from './lists.ts'
import { checkPlace, type Place, resolveProvider, readPlace, type ResourceType } from './place.ts'
import { createPickupDesk } from './pickups.ts'
import type { WattsDependencies, WattsVisit } from './visit.ts'

export type WattsRoutesDependencies = Omit<WattsDependencies, 'pickups'> & {
  readonly maxBodyBytes: number
}

export function wattsRoutes(options: WattsRoutesDependencies): Router {
  const { issuing, settings } = options
  const timeoutSeconds = settings.credential_timeout_seconds
  const dependencies = { ...options, pickups: createPickupDesk({ ...issuing, timeoutSeconds }) }
  const router = Router()
  router.use(answer(dependencies, options.maxBodyBytes))
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
    const provider = resolveProvider(place.issuer, verifier.providers)
    if (await answerPublic(dependencies, visit)) return
    const caller = await callerOf({ verifier, sessions }, request, { response, provider }).catch(
      async (error: unknown) => {
        throw request.method === 'POST' ? await recordRefusal(dependencies, visit, error) : error
      },
    )
    // WaTTS read the body first. This service does not read it before the caller is authenticated.
    const credentialRequest =
      request.method === 'POST'
        ? readCredentialRequest(await readRequestBody(request, response, maxBodyBytes))
        : undefined
    if (request.accepts('application/json') === false)
      throw new TtsError('not_acceptable', 'the answer is application/json')
    await answerCaller(dependencies, visit, { caller, credentialRequest })
  }
}

/** Records the refusal of an unauthenticated request for a credential, as on every interface. */
async function recordRefusal(
  { issuing }: WattsDependencies,
  { response }: WattsVisit,
  error: unknown,
): Promise<TtsError> {
  const { log, origin } = contextOf(response)
  const refused = { serviceId: undefined, origin: { ...origin, interface: 'watts' }, log }
  return recordEarlyRefusal(issuing, refused, error)
}

/** Methods of each resource type: `all` for the list, `one` for an object in it. */
const methods: Readonly<Record<ResourceType, { readonly all: string; readonly one: string }>> = {
  oidcp: { all: 'GET', one: '' },
  info: { all: 'GET', one: '' },
  logout: { all: 'GET', one: '' },
  service: { all: 'GET', one: '' },
  credential: { all: 'GET, POST', one: 'DELETE' },
  credential_data: { all: '', one: 'GET' },
  access_token: { all: 'GET', one: '' },
}

/** HEAD is not supported: it would use up a result that can be picked up only once, without showing it. */
function checkMethod(request: Request, { type, id }: Place): void {
  const offered = id === undefined ? methods[type].all : methods[type].one
  if (offered === '') throw notFound()
  if (offered.split(', ').includes(request.method)) return
  request.res?.setHeader('Allow', offered)
  throw new TtsError('method_not_allowed', `this path supports only ${offered}`)
}

function notFound(): TtsError {
  return new TtsError('not_found', wattsMessages.notFound, { check: 'path' })
}

/** Parses the body of a POST. @throws {TtsError} `invalid_request` */
function readCredentialRequest(body: Buffer): WattsCredentialRequest {
  const json = readJson(body.toString('utf8'))
  const fields = 'value' in json ? json.value : undefined
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) throw badRequest()
  const { service_id: serviceId, params = {} } = fields as Record<string, unknown>
  if (typeof serviceId !== 'string' || typeof params !== 'object' || params === null)
    throw badRequest()
  if (Array.isArray(params)) throw badRequest()
  return { serviceId, params: params as Record<string, unknown> }
}

/** Answers requests that need no authentication. Returns false if the request is not one of those. */
async function answerPublic(
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
        // The version of WaTTS that this API is compatible with; plugins get the same one.
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
    credentialRequest,
  }: {
    readonly caller: WattsCaller
    readonly credentialRequest: WattsCredentialRequest | undefined
  },
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
      if (credentialRequest !== undefined) {
        requireJson(request)
        await requestCredential(dependencies, visit, { caller, credentialRequest })
      } else if (place.id !== undefined) await removeCredential(dependencies, visit, caller)
      else sendJson(response, await sendCredentials(issuing, token, place.version))
      return
    default:
      throw notFound()
  }
}

function requireJson(request: Request): void {
  if (request.is('application/json') !== false) return
  throw new TtsError('unsupported_media_type', 'send application/json')
}

/** Shows the access token of a web session. A caller with a bearer token has it already. */
function accessTokenOf({ session, token }: WattsCaller): object {
  if (session?.accessToken === undefined) {
    throw new TtsError('invalid_token', 'log in on the web pages to see the access token', {
      check: 'session',
    })
  }
  const { publishedIssuer: issuer, sub: subject, providerId } = token
  return { access_token: session.accessToken, issuer, subject, issuer_id: providerId }
}

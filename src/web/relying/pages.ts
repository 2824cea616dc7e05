/** Handles users sent by a relying service: they arrive, log in if required, agree, and return. */
import type { Request } from 'express'
import { requireAuthorised } from '../../domain/issuing/authorise.ts'
import type { RelyingRequest } from '../../domain/session-records.ts'
import { TtsError } from '../../base/errors.ts'
import { badClaim, siteRefusal } from '../../relying/refusals.ts'
import { relyingUserOf, type VerifiedRequest } from '../../relying/relying-services.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'
import { beginLogin, loginDigest, finishLogin, pendingLogin } from '../login/pages.ts'
import { RELYING_PATH } from '../login/state.ts'
import { recordRelyingRefusal, runWithoutSession, runVisit, showsPage } from './run.ts'
import { toRelyingSession, missingLogin, type RelyingSession, visitContent } from './sessions.ts'
import { showConsent, showMissingLogin, showRefusal, showVisitResult } from './views.ts'
import { ownPath } from '../site.ts'
import type { PostedVisit, Visit } from '../view.ts'

const LOGIN_PATH = '/rsp/login'

/** Handles `GET /rsp/<signed request>`. */
export async function arrive(visit: Visit): Promise<void> {
  const { web, request } = visit
  let verified: VerifiedRequest
  try {
    requireNavigation(request)
    verified = await web.relying.verify(String(request.params['jwt']), {
      referer: request.get('referer'),
      audience: web.publicUrl().href,
    })
  } catch (error) {
    // Nothing from an unverified request may be used, neither its URLs nor its names.
    showRefusal(visit, await recordRelyingRefusal(visit, error, { serviceId: '', user: undefined }))
    return
  }
  await beginVisit(visit, verified)
}

/** Marks a verified request as used, and starts the visit. */
async function beginVisit(visit: Visit, verified: VerifiedRequest): Promise<void> {
  const { web, request, response } = visit
  const { site, sub, serviceId, parameters, successUrl, failedUrl } = verified
  const user = relyingUserOf({ siteId: site.id, sub }, verified.endsAt)
  const fields = { siteId: site.id, sub, serviceId, parameters, successUrl, failedUrl }
  let siteRequest: RelyingRequest = { ...fields, loginAt: undefined }
  try {
    await web.relying.claim(verified)
    siteRequest = { ...fields, loginAt: requireLogin(visit, verified) }
    requireService(visit, serviceId, user)
    if (siteRequest.loginAt !== undefined || showsPage(web, siteRequest))
      await web.relyingSessions.begin(request, response, visitContent(siteRequest))
  } catch (error) {
    refuse(visit, siteRequest, await recordRelyingRefusal(visit, error, { serviceId, user }))
    return
  }
  if (siteRequest.loginAt !== undefined) response.redirect(302, ownPath(web, LOGIN_PATH))
  else if (showsPage(web, siteRequest)) response.redirect(302, ownPath(web, RELYING_PATH))
  else {
    try {
      await runWithoutSession(visit, siteRequest, user)
      response.redirect(302, successUrl)
    } catch (error) {
      refuse(visit, siteRequest, error)
    }
  }
}

/** Refuses images, frames and prefetches: the user did not intend those requests. */
function requireNavigation(request: Request): void {
  const destination = request.get('sec-fetch-dest')
  const purpose = `${request.get('sec-purpose') ?? ''} ${request.get('purpose') ?? ''}`
  if ((destination === undefined || destination === 'document') && !/prefetch/i.test(purpose))
    return
  throw siteRefusal(
    'navigation',
    'the site must use a link to send you here, not embed this page in its own',
  )
}

/** Returns the provider where the user must log in first; undefined if the site requires no login. */
function requireLogin({ web }: Visit, { site, provider }: VerifiedRequest): string | undefined {
  if (!site.settings.perform_login) return undefined
  if (provider === undefined) throw badClaim('watts_provider')
  if (web.client.providers.some(({ id }) => id === provider)) return provider
  throw siteRefusal(
    'provider',
    'this service does not offer login with the provider that the site names',
    {
      code: 'invalid_request',
      remedy:
        'Check that `watts_provider` in the request is the id of a provider with login (providers.<id>.client_id).',
    },
  )
}

/** Checks the service before the login, so that no user logs in in vain. Issuance repeats the check. */
function requireService({ web }: Visit, serviceId: string, user: VerifiedToken): void {
  const service = web.issuing.services.get(serviceId)
  if (service === undefined)
    throw new TtsError('not_found', 'the site requests a service that does not exist', {
      check: 'service',
    })
  requireAuthorised(service, user)
}

/** Handles `GET /rsp/login`: redirects to the provider where a login is missing. */
export async function logInForSite(visit: Visit): Promise<void> {
  const session = requireVisit(visit)
  const providerId = missingLogin(session)
  if (providerId === undefined) visit.response.redirect(302, ownPath(visit.web, RELYING_PATH))
  else {
    const sessionDigest = loginDigest(session)
    await beginLogin(visit, { providerId, returnPath: RELYING_PATH, sessionDigest })
  }
}

/** Handles `GET /login/callback`, for all logins. */
export async function finishAnyLogin(visit: Visit): Promise<void> {
  const login = pendingLogin(visit)
  if (login.returnPath !== RELYING_PATH) {
    await finishLogin(visit, login)
    return
  }
  const { web, request } = visit
  const session = toRelyingSession(await web.relyingSessions.sessionOf(request))
  try {
    const web = { ...visit.web, sessions: visit.web.relyingSessions }
    await finishLogin({ ...visit, web, session }, login)
  } catch (error) {
    if (session === undefined) throw error
    const { siteRequest, token: user } = session
    await web.relyingSessions.end(request, visit.response)
    const refused = { serviceId: siteRequest.serviceId, user }
    refuse(visit, siteRequest, await recordRelyingRefusal(visit, error, refused))
  }
}

/** Handles `GET /rsp/request`: shows the request, or runs it if the site uses no pages of this service. */
export async function showRequest(visit: Visit): Promise<void> {
  const session = requireVisit(visit)
  const { web, response } = visit
  const isShown = showsPage(web, session.siteRequest)
  if (missingLogin(session) !== undefined) {
    if (isShown) showMissingLogin(visit, session)
    else response.redirect(302, ownPath(web, LOGIN_PATH))
  } else if (isShown) showConsent(visit, session)
  else await runWithoutPage(visit, session)
}

async function runWithoutPage(visit: Visit, session: RelyingSession): Promise<void> {
  const { web, request, response } = visit
  const { siteRequest } = session
  try {
    const answer = await runVisit(visit, session)
    if (answer.kind === 'login') {
      response.redirect(302, ownPath(web, LOGIN_PATH))
      return
    }
    await web.relyingSessions.end(request, response)
    response.redirect(302, siteRequest.successUrl)
  } catch (error) {
    await web.relyingSessions.end(request, response)
    refuse(visit, siteRequest, error)
  }
}

/** Handles `POST /rsp/request`: the user agreed. */
export async function runRequest(visit: PostedVisit): Promise<void> {
  const session = requireVisit(visit)
  try {
    const answer = await runVisit(visit, session)
    if (answer.kind === 'login') {
      const siteRequest = { ...session.siteRequest, loginAt: answer.provider }
      showMissingLogin(visit, { ...session, siteRequest }, answer.message)
    } else showVisitResult(visit, session, answer)
  } catch (error) {
    refuse(visit, session.siteRequest, error)
  }
}

/** @throws {TtsError} `access_denied`, check `session` */
function requireVisit({ session }: Visit): RelyingSession {
  const visit = toRelyingSession(session)
  if (visit !== undefined) return visit
  throw siteRefusal('session', 'this visit has ended: go back to the site and start again')
}

/** Reports a recorded refusal of a verified request: on a page of this service, or by a redirect to the site. */
function refuse(visit: Visit, siteRequest: RelyingRequest, error: unknown): void {
  if (!(error instanceof TtsError)) throw error
  const { web, response } = visit
  // The site cannot explain replays, rate limits and overload to its users.
  const needsPage = ['replay', 'rate'].includes(error.check ?? '') || error.code === 'overloaded'
  if (showsPage(web, siteRequest) || needsPage) {
    showRefusal(visit, error, siteRequest)
    return
  }
  web.metrics.refused(error.code, error.check)
  response.redirect(302, siteRequest.failedUrl)
}

/** Users whom a relying service sent: they arrive, log in where that is wanted, agree, and go back. */
import type { Request } from 'express'
import { requireAuthorised } from '../../domain/issuing/authorise.ts'
import type { RelyingRequest } from '../../domain/session-records.ts'
import { TtsError } from '../../base/errors.ts'
import { badClaim, siteRefusal } from '../../relying/refusals.ts'
import { relyingUserOf, type VerifiedRequest } from '../../relying/relying-services.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'
import { beginLogin, loginDigest, finishLogin, loginUnderWay } from '../login/pages.ts'
import { RELYING_PATH } from '../login/state.ts'
import { recordRelyingRefusal, runAtOnce, runVisit, showsPage } from './run.ts'
import { asRelying, missingLogin, type RelyingSession, visitContent } from './sessions.ts'
import { showConsent, showMissingLogin, showRefusal, showVisitResult } from './views.ts'
import { ownPath } from '../site.ts'
import type { PostedVisit, Visit } from '../view.ts'

const LOGIN_PATH = '/rsp/login'

/** `GET /rsp/<signed request>`. */
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
    // Nothing of a request that is not verified is used: no address of it, and no name.
    showRefusal(visit, await recordRelyingRefusal(visit, error, { serviceId: '', user: undefined }))
    return
  }
  await takeIn(visit, verified)
}

/** A verified request: used up, and begun. */
async function takeIn(visit: Visit, verified: VerifiedRequest): Promise<void> {
  const { web, request, response } = visit
  const { site, sub, serviceId, parameters, successUrl, failedUrl } = verified
  const user = relyingUserOf({ siteId: site.id, sub }, verified.endsAt)
  const asked = { siteId: site.id, sub, serviceId, parameters, successUrl, failedUrl }
  let wanted: RelyingRequest = { ...asked, loginAt: undefined }
  try {
    await web.relying.claim(verified)
    wanted = { ...asked, loginAt: requireLogin(visit, verified) }
    requireService(visit, serviceId, user)
    if (wanted.loginAt !== undefined || showsPage(web, wanted))
      await web.relyingSessions.begin(request, response, visitContent(wanted))
  } catch (error) {
    refuse(visit, wanted, await recordRelyingRefusal(visit, error, { serviceId, user }))
    return
  }
  if (wanted.loginAt !== undefined) response.redirect(302, ownPath(web, LOGIN_PATH))
  else if (showsPage(web, wanted)) response.redirect(302, ownPath(web, RELYING_PATH))
  else {
    try {
      await runAtOnce(visit, wanted, user)
      response.redirect(302, successUrl)
    } catch (error) {
      refuse(visit, wanted, error)
    }
  }
}

/** Pictures, frames and what browsers fetch in advance act for nobody. */
function requireNavigation(request: Request): void {
  const destination = request.get('sec-fetch-dest')
  const purpose = `${request.get('sec-purpose') ?? ''} ${request.get('purpose') ?? ''}`
  if ((destination === undefined || destination === 'document') && !/prefetch/i.test(purpose))
    return
  throw siteRefusal(
    'navigation',
    'the site has to lead here by a link, and not by a part of its page',
  )
}

/** Where the user is to log in first. */
function requireLogin({ web }: Visit, { site, provider }: VerifiedRequest): string | undefined {
  if (!site.settings.perform_login) return undefined
  if (provider === undefined) throw badClaim('watts_provider')
  if (web.client.providers.some(({ id }) => id === provider)) return provider
  throw siteRefusal('provider', 'nobody can log in at the provider that the site names', {
    code: 'invalid_request',
    remedy:
      'Set providers.<id>.client_id: `watts_provider` must be the id of a provider with browser login.',
  })
}

/** Before anybody is asked to log in for nothing; the check is made again when it is issued. */
function requireService({ web }: Visit, serviceId: string, user: VerifiedToken): void {
  const service = web.issuing.services.get(serviceId)
  if (service === undefined)
    throw new TtsError('not_found', 'the site asks for a service that there is not', {
      check: 'service',
    })
  requireAuthorised(service, user)
}

/** `GET /rsp/login`: to the provider where a login is missing. */
export async function logInForSite(visit: Visit): Promise<void> {
  const session = visitOf(visit)
  const providerId = missingLogin(session)
  if (providerId === undefined) visit.response.redirect(302, ownPath(visit.web, RELYING_PATH))
  else {
    const sessionDigest = loginDigest(session)
    await beginLogin(visit, { providerId, returnPath: RELYING_PATH, sessionDigest })
  }
}

/** `GET /login/callback`, of all logins. */
export async function finishAnyLogin(visit: Visit): Promise<void> {
  const login = loginUnderWay(visit)
  if (login.returnPath !== RELYING_PATH) {
    await finishLogin(visit, login)
    return
  }
  const { web, request } = visit
  const session = asRelying(await web.relyingSessions.sessionOf(request))
  try {
    const web = { ...visit.web, sessions: visit.web.relyingSessions }
    await finishLogin({ ...visit, web, session }, login)
  } catch (error) {
    if (session === undefined) throw error
    const { asked, token: user } = session
    await web.relyingSessions.end(request, visit.response)
    const about = { serviceId: asked.serviceId, user }
    refuse(visit, asked, await recordRelyingRefusal(visit, error, about))
  }
}

/** `GET /rsp/request`: what is asked; without pages of ours it is done. */
export async function showRequest(visit: Visit): Promise<void> {
  const session = visitOf(visit)
  const { web, response } = visit
  const isShown = showsPage(web, session.asked)
  if (missingLogin(session) !== undefined) {
    if (isShown) showMissingLogin(visit, session)
    else response.redirect(302, ownPath(web, LOGIN_PATH))
  } else if (isShown) showConsent(visit, session)
  else await runUnseen(visit, session)
}

async function runUnseen(visit: Visit, session: RelyingSession): Promise<void> {
  const { web, request, response } = visit
  const { asked } = session
  try {
    const answer = await runVisit(visit, session)
    if (answer.kind === 'login') {
      response.redirect(302, ownPath(web, LOGIN_PATH))
      return
    }
    await web.relyingSessions.end(request, response)
    response.redirect(302, asked.successUrl)
  } catch (error) {
    await web.relyingSessions.end(request, response)
    refuse(visit, asked, error)
  }
}

/** `POST /rsp/request`: the user agreed. */
export async function runRequest(visit: PostedVisit): Promise<void> {
  const session = visitOf(visit)
  try {
    const answer = await runVisit(visit, session)
    if (answer.kind === 'login') {
      const asked = { ...session.asked, loginAt: answer.provider }
      showMissingLogin(visit, { ...session, asked }, answer.message)
    } else showVisitResult(visit, session, answer)
  } catch (error) {
    refuse(visit, session.asked, error)
  }
}

/** @throws {TtsError} `access_denied`, check `session` */
function visitOf({ session }: Visit): RelyingSession {
  const visit = asRelying(session)
  if (visit !== undefined) return visit
  throw siteRefusal('session', 'this visit has ended: go back to the site and begin again')
}

/** A siteRefusal that is on record, of a request that was verified: told by a page of ours, or by the site. */
function refuse(visit: Visit, asked: RelyingRequest, error: unknown): void {
  if (!(error instanceof TtsError)) throw error
  const { web, response } = visit
  // Of what is only too early or too late the site can tell its users nothing.
  const isOurs = ['replay', 'rate'].includes(error.check ?? '') || error.code === 'overloaded'
  if (showsPage(web, asked) || isOurs) {
    showRefusal(visit, error, asked)
    return
  }
  web.metrics.refused(error.code, error.check)
  response.redirect(302, asked.failedUrl)
}

/** Logging in and out. */
import { createHash } from 'node:crypto'
import { TtsError } from '../../base/errors.ts'
import { clearCookie, mayUseCookies, readCookie, setCookie } from '../sessions/cookies.ts'
import { html } from '../html/html.ts'
import { goTo, sendPage } from '../html/layout.ts'
import {
  checksOf,
  formatLoginState,
  LOGIN_SECONDS,
  type LoginState,
  readLoginState,
  requireState,
  safeReturnPath,
} from './state.ts'
import type { CompletedLogin } from './client.ts'
import { absoluteUrl } from '../site.ts'
import { loginChoice } from '../pages/start-page.ts'
import { isOwnLink, type PostedVisit, type Visit, type Web } from '../view.ts'
import type { WebSession } from '../sessions/sessions.ts'

const AFTER_LOGIN = '/services'

/** The choice of a provider. */
export function showLogin(visit: Visit): void {
  const { request, session, web } = visit
  const returnPath = safeReturnPath(request.query['return'])
  if (session !== undefined) {
    goTo(visit, returnPath ?? AFTER_LOGIN)
    return
  }
  sendPage(visit, {
    title: 'Log in',
    content: html`<p>
        Your provider tells this service who you are and which groups you are in; your password
        stays there.
      </p>
      ${loginChoice(web, returnPath)}`,
  })
}

/** Sends the browser to the provider. */
export async function startLogin(visit: Visit): Promise<void> {
  const { request, session } = visit
  const { provider: providerId } = request.query
  // Else any site could log its users in here unasked: there they see the choice first.
  if (!isOwnLink(request) || typeof providerId !== 'string') {
    goTo(visit, '/login')
    return
  }
  // `add`: a login that a plugin asked for, beside the one that the session began with.
  const isAdditional = request.query['add'] === '1' && session !== undefined
  await beginLogin(visit, {
    providerId,
    returnPath: safeReturnPath(request.query['return']) ?? AFTER_LOGIN,
    sessionDigest: isAdditional ? loginDigest(session) : undefined,
  })
}

/** Sends the browser to a provider; what comes back is for this browser, and for the session when one is named. */
export async function beginLogin(
  { web, response }: Visit,
  wanted: Pick<LoginState, 'providerId' | 'returnPath' | 'sessionDigest'>,
): Promise<void> {
  requireCookies(web)
  const secret = web.issuing.randomBytes(32).toString('base64url')
  const login: LoginState = { ...wanted, secret, startedAtMs: web.now().getTime() }
  const url = await web.client.start(login.providerId, checksOf(login), redirectUri(web))
  setCookie(web, response, {
    name: 'login',
    value: formatLoginState(login),
    maxAgeSeconds: LOGIN_SECONDS,
  })
  response.redirect(303, url.href)
}

/** @throws {TtsError} `access_denied`, check `login_state`, unless the browser comes back from a login that it began */
export function loginUnderWay({ web, request }: Visit): LoginState {
  requireCookies(web)
  const login = readLoginState(readCookie(web, request, 'login'), web.now())
  requireState(login, request.query['state'])
  return login
}

/** Where the provider sends the browser back to. */
export async function finishLogin(visit: Visit, login: LoginState): Promise<void> {
  const { web, request, response, session } = visit
  // Once is enough, whatever comes of it.
  clearCookie(web, response, 'login')
  // The path and query as they came, under our own address: never one that a header of the request names.
  const returned = new URL(redirectUri(web))
  returned.search = new URL(request.originalUrl, 'http://query').search
  const completed = await web.client.complete(login.providerId, checksOf(login), returned)
  if (login.sessionDigest === undefined) {
    await beginSession(visit, completed)
  } else {
    await addLogin(web, session, { digest: login.sessionDigest, completed })
  }
  goTo(visit, login.returnPath)
}

async function beginSession(
  { web, request, response }: Visit,
  { login, displayName }: CompletedLogin,
): Promise<void> {
  const content = { login, displayName, additionalLogins: [], pending: undefined }
  await web.sessions.begin(request, response, content)
}

async function addLogin(
  web: Web,
  session: WebSession | undefined,
  { digest, completed }: { readonly digest: string; readonly completed: CompletedLogin },
): Promise<void> {
  if (session === undefined || loginDigest(session) !== digest) {
    throw new TtsError('access_denied', 'your session has ended meanwhile: log in again', {
      check: 'session',
    })
  }
  const { content } = session.stored
  const others = content.additionalLogins.filter(
    ({ providerId }) => providerId !== completed.login.providerId,
  )
  await web.sessions.change(session, {
    ...content,
    additionalLogins: [...others, completed.login],
  })
}

export async function logOut(visit: PostedVisit): Promise<void> {
  const { web, request, response } = visit
  await web.sessions.end(request, response)
  goTo(visit, '/')
}

function redirectUri(web: Web): string {
  return absoluteUrl(web, '/login/callback')
}

/** What a login remembers of the session that it is for. */
export function loginDigest({ stored }: WebSession): string {
  return createHash('sha256').update(stored.idDigest).digest('base64url')
}

/** @throws {TtsError} `access_denied`, check `transport` */
function requireCookies(web: Web): void {
  if (mayUseCookies(web)) return
  throw new TtsError('access_denied', 'nobody can log in here: this page is not reached by https', {
    check: 'transport',
    remedy: 'Set listen.public_url to an https URL.',
  })
}

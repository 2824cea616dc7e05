/** Login and logout. */
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

/** Shows the choice of providers. */
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
        Your provider tells this service who you are and which groups you belong to. This service
        never sees your password.
      </p>
      ${loginChoice(web, returnPath)}`,
  })
}

/** Handles `GET /login/start`: redirects the browser to the provider that the user chose. */
export async function startLogin(visit: Visit): Promise<void> {
  const { provider, add } = visit.request.query
  await startLoginAt(visit, provider, { isAdditional: add === '1' })
}

/**
 * Redirects the browser to a provider.
 *
 * @param kind.isAdditional an additional login, which a plugin requires; it does not replace the login of the session
 */
export async function startLoginAt(
  visit: Visit,
  providerId: unknown,
  { isAdditional }: { readonly isAdditional: boolean },
): Promise<void> {
  const { request, session } = visit
  // A link from another site must not start a login unasked: the user sees the choice of providers first.
  if (!isOwnLink(request) || typeof providerId !== 'string') {
    goTo(visit, '/login')
    return
  }
  await beginLogin(visit, {
    providerId,
    returnPath: safeReturnPath(request.query['return']) ?? AFTER_LOGIN,
    sessionDigest: isAdditional && session !== undefined ? loginDigest(session) : undefined,
  })
}

/**
 * Redirects the browser to a provider. The login will be valid only in this browser, and only for the given session
 * if there is one.
 */
export async function beginLogin(
  { web, response }: Visit,
  target: Pick<LoginState, 'providerId' | 'returnPath' | 'sessionDigest'>,
): Promise<void> {
  requireCookies(web)
  const secret = web.issuing.randomBytes(32).toString('base64url')
  const login: LoginState = { ...target, secret, startedAtMs: web.now().getTime() }
  const uri = redirectUri(web, login.providerId)
  const url = await web.client.start(login.providerId, checksOf(login), uri)
  setCookie(web, response, {
    name: 'login',
    value: formatLoginState(login),
    maxAgeSeconds: LOGIN_SECONDS,
  })
  response.redirect(303, url.href)
}

/**
 * Returns the login that this browser started. @throws {TtsError} `access_denied`, check `login_state` (there is
 * none, or another)
 */
export function pendingLogin({ web, request }: Visit): LoginState {
  requireCookies(web)
  const login = readLoginState(readCookie(web, request, 'login'), web.now())
  requireState(login, request.query['state'])
  return login
}

/** Completes a login when the provider sends the browser back. */
export async function finishLogin(visit: Visit, login: LoginState): Promise<void> {
  const { web, request, response, session } = visit
  // A login can be completed only once, whether it succeeds or fails.
  clearCookie(web, response, 'login')
  // Only the query of the request is used. Host and path come from the configuration, never from a header of the
  // request.
  const returned = new URL(redirectUri(web, login.providerId))
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
    throw new TtsError('access_denied', 'your session ended during the login: log in again', {
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

/** Returns the URL to which a provider sends the browser back. @throws {TtsError} `not_found` */
function redirectUri(web: Web, providerId: string): string {
  return absoluteUrl(web, web.client.redirectPath(providerId))
}

/** Returns the digest by which a login names its session. */
export function loginDigest({ stored }: WebSession): string {
  return createHash('sha256').update(stored.idDigest).digest('base64url')
}

/** @throws {TtsError} `access_denied`, check `transport` */
function requireCookies(web: Web): void {
  if (mayUseCookies(web)) return
  throw new TtsError(
    'access_denied',
    'login is not possible because this page is not served over https',
    {
      check: 'transport',
      remedy: 'Set listen.public_url to an https URL.',
    },
  )
}

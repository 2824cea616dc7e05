/** The pages that users of relying services see. */
import { answerTo } from '../../api/problem.ts'
import { contextOf } from '../../api/request.ts'
import type { IssuedCredential } from '../../domain/issuing/issue.ts'
import type { RelyingRequest } from '../../domain/session-records.ts'
import type { TtsError } from '../../base/errors.ts'
import { html, type Html } from '../html/html.ts'
import { type Page, sendPage, tokenField } from '../html/layout.ts'
import { RELYING_PATH } from '../login/state.ts'
import type { RelyingSession } from './sessions.ts'
import { resultContent } from '../pages/result-page.ts'
import { ownPath } from '../site.ts'
import type { PersonalVisit, PostedVisit, Visit } from '../view.ts'
import { sentence } from '../pages/words.ts'

/** What the site's users know it by. */
function siteName({ web }: Visit, { siteId }: RelyingRequest): string {
  return web.relying.sites.get(siteId)?.settings.description ?? siteId
}

/** Without the navigation of those who are logged in: a visit is for one request. */
function sendVisitPage({ web, response }: Visit, page: Page): void {
  sendPage({ web, response, session: undefined }, page)
}

function backLink(visit: Visit, asked: RelyingRequest, url: string): Html {
  return html`<a class="button quiet" href="${url}"
    >Back to <bdi>${siteName(visit, asked)}</bdi></a
  >`
}

/** What is asked, for whom and by whom; done only when the user agrees. */
export function showConsent(visit: Visit, session: RelyingSession): void {
  const { asked, stored } = session
  const { web } = visit
  const service = web.issuing.services.get(asked.serviceId)
  const logins = stored.content.additionalLogins
  const site = siteName(visit, asked)
  sendVisitPage(visit, {
    title: `Request: ${asked.serviceId}`,
    content: html`<p>
        <bdi>${site}</bdi> sent you here for a credential. Is this you, and what you want?
      </p>
      <dl class="facts">
        <dt>Asked by</dt>
        <dd><bdi>${site}</bdi> (<bdi>${new URL(asked.successUrl).origin}</bdi>)</dd>
        <dt>For its user</dt>
        <dd class="mono"><bdi>${asked.sub}</bdi></dd>
        <dt>Service</dt>
        <dd>
          <bdi>${asked.serviceId}</bdi>${service && html`: <bdi>${service.description}</bdi>`}
        </dd>
        ${Object.entries(asked.parameters).map(
          ([name, value]) =>
            html`<dt><bdi>${name}</bdi></dt>
              <dd class="mono"><bdi>${shown(value)}</bdi></dd>`,
        )}
        ${logins.map(
          ({ providerId, sub }) =>
            html`<dt>Logged in at <bdi>${providerId}</bdi></dt>
              <dd class="mono"><bdi>${sub}</bdi></dd>`,
        )}
      </dl>
      <form method="post" action="${ownPath(web, RELYING_PATH)}" class="row">
        ${tokenField(session)} <button>Continue</button> ${backLink(visit, asked, asked.failedUrl)}
      </form>`,
  })
}

const MAX_SHOWN = 500

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}

/** A login is wanted first, by the site or by the plugin, which then says why. */
export function showMissingLogin(visit: Visit, { asked }: RelyingSession, message?: string): void {
  const { web } = visit
  const provider = web.client.providers.find(({ id }) => id === asked.loginAt)
  sendVisitPage(visit, {
    title: 'Log in',
    content: html`<div class="box note">
        <p>For what <bdi>${siteName(visit, asked)}</bdi> asks for you, log in first.</p>
        ${message !== undefined && html`<p><bdi>${message}</bdi></p>`}
      </div>
      <p class="row">
        <a class="button" href="${ownPath(web, '/rsp/login')}"
          >Log in with <bdi>${provider?.description ?? asked.loginAt}</bdi></a
        >
        ${backLink(visit, asked, asked.failedUrl)}
      </p>`,
  })
}

/** The credential, and the way back. */
export function showVisitResult(
  visit: PostedVisit,
  session: RelyingSession,
  credential: IssuedCredential,
): void {
  const { asked } = session
  const own: PersonalVisit = { ...visit, session }
  sendVisitPage(visit, {
    title: `Your credential of ${asked.serviceId}`,
    content: html`<p>${backLink(visit, asked, asked.successUrl)}</p>
      ${resultContent(own, credential, '/rsp/download')}
      <p>${backLink(visit, asked, asked.successUrl)}</p>`,
  })
}

/** What was wrong, by name. The way back is shown only of a request that was verified. */
export function showRefusal(visit: Visit, error: TtsError, asked?: RelyingRequest): void {
  const { web, response } = visit
  const { code, check, message } = error
  web.metrics.refused(code, check)
  const { status, isHidden, retryAfterSeconds } = answerTo(error)
  if (retryAfterSeconds !== undefined) response.setHeader('Retry-After', String(retryAfterSeconds))
  sendVisitPage(visit, {
    title: 'This request is refused',
    status: status === 401 ? 403 : status,
    content: html`<div class="box bad" role="alert">
        <p>
          <bdi>${isHidden ? 'The failure is in the log of the service.' : sentence(message)}</bdi>
        </p>
        ${check !== undefined && !isHidden && html`<p>Check: <code>${check}</code></p>`}
      </div>
      ${asked && html`<p>${backLink(visit, asked, asked.failedUrl)}</p>`}
      <p class="hint">
        If you ask about it, name this request: <code>${contextOf(response).id}</code>
      </p>`,
  })
}

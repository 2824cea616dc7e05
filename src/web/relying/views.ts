/** The pages for users sent by relying services. */
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
import { serviceName } from '../pages/service-names.ts'
import { sentence } from '../pages/words.ts'

/** Returns the name that the users of the site know. */
function siteName({ web }: Visit, { siteId }: RelyingRequest): string {
  return web.relying.sites.get(siteId)?.settings.description ?? siteId
}

/** Sends a page without navigation, because a visit is for one request only. */
function sendVisitPage({ web, response }: Visit, page: Page): void {
  sendPage({ web, response, session: undefined }, page)
}

function backLink(visit: Visit, siteRequest: RelyingRequest, url: string): Html {
  return html`<a class="button quiet" href="${url}"
    >Back to <bdi>${siteName(visit, siteRequest)}</bdi></a
  >`
}

/** Asks the user to agree to the request of the site. Nothing is issued without it. */
export function showConsent(visit: Visit, session: RelyingSession): void {
  const { siteRequest, stored } = session
  const { web } = visit
  const service = web.issuing.services.get(siteRequest.serviceId)
  const logins = stored.content.additionalLogins
  const site = siteName(visit, siteRequest)
  sendVisitPage(visit, {
    title: `Request: ${serviceName(web, siteRequest.serviceId)}`,
    content: html`<p>
        <bdi>${site}</bdi> requests a credential for you. Continue only if all of this is correct.
      </p>
      <dl class="facts">
        <dt>Requested by</dt>
        <dd><bdi>${site}</bdi> (<bdi>${new URL(siteRequest.successUrl).origin}</bdi>)</dd>
        <dt>For its user</dt>
        <dd class="mono"><bdi>${siteRequest.sub}</bdi></dd>
        <dt>Service</dt>
        <dd>
          <bdi>${serviceName(web, siteRequest.serviceId)}</bdi
          >${service && html`: <bdi>${service.description}</bdi>`}
        </dd>
        ${Object.entries(siteRequest.parameters).map(
          ([name, value]) =>
            html`<dt><bdi>${name}</bdi></dt>
              <dd class="mono"><bdi>${displayValue(value)}</bdi></dd>`,
        )}
        ${logins.map(
          ({ providerId, sub }) =>
            html`<dt>Logged in at <bdi>${providerId}</bdi></dt>
              <dd class="mono"><bdi>${sub}</bdi></dd>`,
        )}
      </dl>
      <form method="post" action="${ownPath(web, RELYING_PATH)}" class="row">
        ${tokenField(session)}
        <button>Continue</button> ${backLink(visit, siteRequest, siteRequest.failedUrl)}
      </form>`,
  })
}

const MAX_SHOWN = 500

function displayValue(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}

/** Asks the user to log in, because the site or the plugin requires it. A plugin gives the reason as `message`. */
export function showMissingLogin(
  visit: Visit,
  { siteRequest }: RelyingSession,
  message?: string,
): void {
  const { web } = visit
  const provider = web.client.providers.find(({ id }) => id === siteRequest.loginAt)
  sendVisitPage(visit, {
    title: 'Log in',
    content: html`<div class="box note">
        <p>Log in first: the request of <bdi>${siteName(visit, siteRequest)}</bdi> requires it.</p>
        ${message !== undefined && html`<p><bdi>${message}</bdi></p>`}
      </div>
      <p class="row">
        <a class="button" href="${ownPath(web, '/rsp/login')}"
          >Log in with <bdi>${provider?.description ?? siteRequest.loginAt}</bdi></a
        >
        ${backLink(visit, siteRequest, siteRequest.failedUrl)}
      </p>`,
  })
}

/** Shows the credential and the link back to the site. */
export function showVisitResult(
  visit: PostedVisit,
  session: RelyingSession,
  credential: IssuedCredential,
): void {
  const { siteRequest } = session
  const own: PersonalVisit = { ...visit, session }
  sendVisitPage(visit, {
    title: `Issued: ${serviceName(visit.web, siteRequest.serviceId)}`,
    content: html`<p>${backLink(visit, siteRequest, siteRequest.successUrl)}</p>
      ${resultContent(own, credential, '/rsp/download')}
      <p>${backLink(visit, siteRequest, siteRequest.successUrl)}</p>`,
  })
}

/** Shows a refusal. The page links back to the site only if the request was verified. */
export function showRefusal(visit: Visit, error: TtsError, siteRequest?: RelyingRequest): void {
  const { web, response } = visit
  const { code, check, message } = error
  web.metrics.refused(code, check)
  const { status, isHidden, retryAfterSeconds } = answerTo(error)
  if (retryAfterSeconds !== undefined) response.setHeader('Retry-After', String(retryAfterSeconds))
  sendVisitPage(visit, {
    title: 'Request refused',
    status: status === 401 ? 403 : status,
    content: html`<div class="box bad" role="alert">
        <p>
          <bdi>${isHidden ? 'The service failed. Its log has the cause.' : sentence(message)}</bdi>
        </p>
        ${check !== undefined && !isHidden && html`<p>Check: <code>${check}</code></p>`}
      </div>
      ${siteRequest && html`<p>${backLink(visit, siteRequest, siteRequest.failedUrl)}</p>`}
      <p class="hint">
        If you report this problem, include the request id: <code>${contextOf(response).id}</code>
      </p>`,
  })
}

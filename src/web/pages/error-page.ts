/** The error page. */
import type { ErrorRequestHandler, Request, Response } from 'express'
import { answerTo, toTtsError } from '../../api/problem.ts'
import { contextOf } from '../../api/request.ts'
import type { TtsError } from '../../base/errors.ts'
import { html } from '../html/html.ts'
import { sendPage } from '../html/layout.ts'
import { pageHeaders } from '../sessions/security.ts'
import type { WebSession } from '../sessions/sessions.ts'
import { ownPath } from '../site.ts'
import type { Web } from '../view.ts'
import { sentence } from './words.ts'

/**
 * Returns the error handler for wrong addresses outside the pages. Browsers get a page; clients of the API, and those
 * that accept anything, such as curl, get a problem document.
 */
export function errorsForBrowsers(web: Web): ErrorRequestHandler {
  const showPage = errorPages(web)
  // oxlint-disable-next-line max-params -- Express knows an error handler by its four parameters
  return async function errorsForBrowsers(error: unknown, request, response, next) {
    const types = ['application/problem+json', 'application/json', 'text/html']
    const isBrowser =
      !response.headersSent &&
      ['not_found', 'method_not_allowed'].includes(toTtsError(error).code) &&
      ['GET', 'HEAD'].includes(request.method) &&
      request.get('authorization') === undefined &&
      !request.path.startsWith('/api/') &&
      request.accepts(types) === 'text/html'
    response.vary('Accept')
    if (!isBrowser) {
      next(error)
      return
    }
    void pageHeaders(request, response, () => undefined)
    // Express hands a rejection to the next error handler.
    await showPage(error, request, response, next)
  }
}

/** Returns the error handler of the pages. */
export function errorPages(web: Web): ErrorRequestHandler {
  // oxlint-disable-next-line max-params -- Express knows an error handler by its four parameters
  return async function errorPages(error: unknown, request, response, next) {
    if (response.headersSent) {
      next(error)
      return
    }
    const failure = toTtsError(error)
    const { code, check, message, remedy } = failure
    web.metrics.refused(code, check)
    response.locals['refusal'] = { code, check }
    const { id, log } = contextOf(response)
    if (code === 'internal') log.error({ event: 'request.failed', err: error }, 'a request failed')
    else log.info({ event: 'page.refused', code, check, remedy }, message)
    const { status, title, isHidden, retryAfterSeconds } = answerTo(failure)
    if (retryAfterSeconds !== undefined)
      response.setHeader('Retry-After', String(retryAfterSeconds))
    const session = await sessionIfAny(web, request, response)
    sendPage(
      { web, response, session },
      {
        title,
        status: status === 401 ? 403 : status,
        content: html`<div class="box bad" role="alert">
            <p>
              <bdi
                >${isHidden ? 'The service failed. Its log has the cause.' : wordsOf(failure)}</bdi
              >
            </p>
          </div>
          <p class="row">
            <a class="button quiet" href="${ownPath(web, '/')}">Go to the start page</a>
            ${session === undefined ? html`<a class="button" href="${ownPath(web, '/login')}">Log in</a>` : html`<a class="button" href="${ownPath(web, '/services')}">Go to the services</a>`}
          </p>
          <p class="hint">
            If you report this problem, include the request id: <code>${id}</code>
          </p>`,
      },
    )
  }
}

/** Wrong addresses are common among people, who do not need the list of paths of the API. */
function wordsOf({ code, check, message }: TtsError): string {
  return code === 'not_found' && check === 'path'
    ? 'This page does not exist. Check the address.'
    : sentence(message)
}

/**
 * Returns the session, or undefined if the lookup fails: the error page must not fail with the error that it reports.
 */
async function sessionIfAny(
  web: Web,
  request: Request,
  response: Response,
): Promise<WebSession | undefined> {
  try {
    return await web.sessions.sessionOf(request)
  } catch {
    response.setHeader('Cache-Control', 'no-store')
    return undefined
  }
}

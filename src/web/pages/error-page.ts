/** The error page. */
import type { ErrorRequestHandler, Request, Response } from 'express'
import { answerTo, toTtsError } from '../../api/problem.ts'
import { contextOf } from '../../api/request.ts'
import { html } from '../html/html.ts'
import { sendPage } from '../html/layout.ts'
import type { WebSession } from '../sessions/sessions.ts'
import { ownPath } from '../site.ts'
import type { Web } from '../view.ts'
import { sentence } from './words.ts'

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
                >${isHidden ? 'The service failed. Its log has the cause.' : sentence(message)}</bdi
              >
            </p>
          </div>
          <p>
            ${session === undefined ? html`<a class="button" href="${ownPath(web, '/login')}">Log in</a>` : html`<a class="button" href="${ownPath(web, '/services')}">Go to the services</a>`}
          </p>
          <p class="hint">
            If you report this problem, include the request id: <code>${id}</code>
          </p>`,
      },
    )
  }
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

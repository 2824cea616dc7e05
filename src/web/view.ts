/** The context of a page: site, session and request; and the handlers that check the session first. */
import type { Request, RequestHandler, Response } from 'express'
import { readRequestBody } from '../api/body.ts'
import { contextOf } from '../api/request.ts'
import { authorise } from '../domain/issuing/authorise.ts'
import type { Origin } from '../domain/records.ts'
import { TtsError } from '../base/errors.ts'
import type { LoginClient } from './login/client.ts'
import { isCrossSite, requireFormToken, requireSameOrigin } from './sessions/security.ts'
import type { Sessions, WebSession } from './sessions/sessions.ts'
import { ownPath, type Site } from './site.ts'

/** The parts that all pages share. */
export interface Web extends Site {
  readonly sessions: Sessions
  /** Sessions of users sent by relying services. They do not affect the sessions of users who logged in here. */
  readonly relyingSessions: Sessions
  readonly client: LoginClient
}

/** A request for a page, by a user who may be logged in. */
export interface Visit {
  readonly web: Web
  readonly request: Request
  readonly response: Response
  readonly session: WebSession | undefined
}

/** A request by a user who is logged in. */
export interface PersonalVisit extends Visit {
  readonly session: WebSession
}

/** A submitted form, after the check of its token. */
export interface PostedVisit extends PersonalVisit {
  readonly form: Readonly<Record<string, string>>
}

/** Returns the handler of a page that needs no login. */
export function publicPage(web: Web, show: (visit: Visit) => Promise<void> | void): RequestHandler {
  return async function publicPage(request, response) {
    const session = await web.sessions.sessionOf(request)
    await show({ web, request, response, session })
  }
}

/** Returns the handler of a page that needs a login. Other users are redirected to the login page. */
export function personalPage(
  web: Web,
  show: (visit: PersonalVisit) => Promise<void> | void,
): RequestHandler {
  return async function personalPage(request, response) {
    const session = await web.sessions.sessionOf(request)
    if (session === undefined) {
      const path = `/login?return=${encodeURIComponent(request.path)}`
      response.redirect(303, ownPath(web, path))
      return
    }
    await show({ web, request, response, session })
  }
}

/** Returns the handler of a form: it checks session, origin and form token before it acts. */
export function postedForm(
  web: Web,
  act: (visit: PostedVisit) => Promise<void> | void,
  maxBytes = web.maxBodyBytes,
): RequestHandler {
  return async function postedForm(request, response) {
    requireSameOrigin(web, request)
    const session = await web.sessions.sessionOf(request)
    if (session === undefined) {
      throw new TtsError('access_denied', 'your session has ended: log in again', {
        check: 'session',
      })
    }
    if (!request.is('application/x-www-form-urlencoded'))
      throw new TtsError(
        'unsupported_media_type',
        'this path accepts only forms from the pages of this service',
      )
    const form = formFields((await readRequestBody(request, response, maxBytes)).toString('utf8'))
    requireFormToken(session.id, form['form_token'])
    await act({ web, request, response, session, form })
  }
}

/** @throws {TtsError} `invalid_request` (a field is given twice) */
function formFields(body: string): Readonly<Record<string, string>> {
  const fields = new Map<string, string>()
  for (const [name, value] of new URLSearchParams(body)) {
    if (fields.has(name))
      throw new TtsError('invalid_request', 'a field of the form is given twice')
    fields.set(name, value)
  }
  return Object.fromEntries(fields)
}

/** Returns the origin for records of requests by web page. */
export function originOf({ response }: Pick<Visit, 'response'>): Origin {
  return { ...contextOf(response).origin, interface: 'web' }
}

/** Returns whether a user may see the operator's page. */
export function isOperator(web: Web, session: WebSession | undefined): boolean {
  return session !== undefined && authorise(web.settings.operators, session.token).allowed
}

/** Returns whether the operator has configured delegations for the user's provider. */
export function canDelegate(web: Web, { token }: WebSession): boolean {
  return web.delegations.providers.has(token.providerId)
}

/** Returns whether a request comes from a page of this service, not by a link from another site. */
export function isOwnLink(request: Request): boolean {
  return !isCrossSite(request)
}

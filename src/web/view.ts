/** What a page is made with: the site, who is looking, and the request. */
import type { Request, RequestHandler, Response } from 'express'
import { bodyOf } from '../api/body.ts'
import { contextOf, routeName } from '../api/request.ts'
import { authorise } from '../domain/issuing/authorise.ts'
import type { Origin } from '../domain/records.ts'
import { TtsError } from '../base/errors.ts'
import type { LoginClient } from './login/client.ts'
import { isFromElsewhere, requireFormToken, requireSameOrigin } from './sessions/security.ts'
import type { Sessions, WebSession } from './sessions/sessions.ts'
import { ownPath, type Site } from './site.ts'

/** The parts that all pages share. */
export interface Web extends Site {
  readonly sessions: Sessions
  /** Of users whom relying services sent; beside those of who logged in here, which they leave alone. */
  readonly relyingSessions: Sessions
  readonly client: LoginClient
}

/** One request for a page, from somebody who may be logged in. */
export interface Visit {
  readonly web: Web
  readonly request: Request
  readonly response: Response
  readonly session: WebSession | undefined
}

/** One request from somebody who is. */
export interface PersonalVisit extends Visit {
  readonly session: WebSession
}

/** A form that was sent, its token checked. */
export interface PostedVisit extends PersonalVisit {
  readonly form: Readonly<Record<string, string>>
}

/** A page that anybody may see. */
export function publicPage(web: Web, show: (visit: Visit) => Promise<void> | void): RequestHandler {
  return async function publicPage(request, response) {
    const session = await web.sessions.sessionOf(request)
    await show({ web, request, response, session })
  }
}

/** A page for who is logged in; others are sent to log in first. */
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

/** Reads and checks a form of somebody who is logged in, before anything is done. */
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
      throw new TtsError('unsupported_media_type', 'this takes the form of a page of ours')
    const form = formFields((await bodyOf(request, response, maxBytes)).toString('utf8'))
    requireFormToken(session.id, form['form_token'])
    await act({ web, request, response, session, form })
  }
}

/** @throws {TtsError} `invalid_request` for a field that is given twice */
function formFields(body: string): Readonly<Record<string, string>> {
  const fields = new Map<string, string>()
  for (const [name, value] of new URLSearchParams(body)) {
    if (fields.has(name))
      throw new TtsError('invalid_request', 'a field of the form is given twice')
    fields.set(name, value)
  }
  return Object.fromEntries(fields)
}

/** The interface goes on record with what came by it. */
export function originOf({ response }: Pick<Visit, 'response'>): Origin {
  return { ...contextOf(response).origin, interface: 'web' }
}

/** Whether somebody sees the operator's page. */
export function isOperator(web: Web, session: WebSession | undefined): boolean {
  return session !== undefined && authorise(web.settings.operators, session.token).allowed
}

/** A link of another site must not do what a button of ours does. */
export function isOwnLink(request: Request): boolean {
  return !isFromElsewhere(request)
}

export const named = (path: string): RequestHandler => routeName(path)

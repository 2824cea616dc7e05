/**
 * `/oidc`, the login address of WaTTS: `?provider=ID` starts a login, as at `/login/start`, and providers send the
 * browser back here, as to `/login/callback`. Both are in use: links of portals, and redirect URIs of old clients.
 */
import type { RequestHandler } from 'express'
import { readRequestBody } from '../api/body.ts'
import { TtsError } from '../base/errors.ts'
import { startLoginAt } from './login/pages.ts'
import { finishAnyLogin } from './relying/pages.ts'
import type { Visit, Web } from './view.ts'

const MAX_FORM_BYTES = 4096

/** Handles `GET /oidc`. */
export async function showOidcEntry(visit: Visit): Promise<void> {
  const { provider, state, code, error } = visit.request.query
  const isAnswer = [state, code, error].some((value) => value !== undefined)
  if (provider === undefined && isAnswer) await finishAnyLogin(visit)
  else await enter(visit, provider)
}

/** Returns the handler of `POST /oidc`: the login form of WaTTS's page sends the provider in the body. */
export function oidcForm(web: Web): RequestHandler {
  return async function oidcForm(request, response) {
    if (!request.is('application/x-www-form-urlencoded'))
      throw new TtsError('unsupported_media_type', 'this path accepts only forms')
    const body = await readRequestBody(request, response, MAX_FORM_BYTES)
    const provider = new URLSearchParams(body.toString('utf8')).get('provider') ?? undefined
    const session = await web.sessions.sessionOf(request)
    await enter({ web, request, response, session }, provider)
  }
}

/** As in WaTTS, a user who is logged in adds a login at another provider. */
async function enter(visit: Visit, provider: unknown): Promise<void> {
  const { session } = visit
  const isAdditional = session !== undefined && session.stored.content.login.providerId !== provider
  await startLoginAt(visit, provider, { isAdditional })
}

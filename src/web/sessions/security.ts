/** What keeps the pages safe: headers, and the checks that a form was sent from a page of ours. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Request, RequestHandler } from 'express'
import { TtsError } from '../../base/errors.ts'
import { absoluteUrl, type Site } from '../site.ts'

/** Nothing but our own style sheet, script, pictures and forms; no inline code of any kind; no frames. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "style-src 'self'",
  "script-src 'self'",
  "img-src 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ')

/** Headers of every page. Over those that all answers have. */
export const pageHeaders: RequestHandler = function pageHeaders(_request, response, next) {
  response.setHeader('Content-Security-Policy', CONTENT_SECURITY_POLICY)
  response.setHeader('X-Frame-Options', 'DENY')
  // Not no-referrer: with that, browsers send `Origin: null` with our own forms.
  response.setHeader('Referrer-Policy', 'same-origin')
  response.setHeader('Cache-Control', 'no-store')
  response.vary('Cookie')
  next()
}

/** Whether the browser says that another site led here. */
export function isFromElsewhere(request: Request): boolean {
  const site = request.get('sec-fetch-site')
  return site === 'cross-site' || site === 'same-site'
}

/**
 * What changes something must come from a page of ours. Browsers tell by Sec-Fetch-Site or Origin; one that tells neither is
 * left to the form's token.
 *
 * @throws {TtsError} `access_denied`, check `origin`
 */
export function requireSameOrigin(site: Site, request: Request): void {
  const fetchSite = request.get('sec-fetch-site')
  if (fetchSite !== undefined && fetchSite !== 'same-origin') throw foreign(site)
  const origin = request.get('origin')
  if (fetchSite === undefined && origin !== undefined && origin !== site.publicUrl().origin)
    throw foreign(site)
}

function foreign(site: Site): TtsError {
  return new TtsError('access_denied', 'the request was sent from a page of another site', {
    check: 'origin',
    remedy: `If it was not, set listen.public_url to the address that people use; it is now ${absoluteUrl(site, '/')}.`,
  })
}

/** The token of a session's forms: whoever knows the session's id can make it, and nobody can tell the id by it. */
export function formToken(sessionId: string): string {
  return createHash('sha256').update(`tts form token v1\0${sessionId}`).digest('base64url')
}

/** @throws {TtsError} `access_denied`, check `form_token` */
export function requireFormToken(sessionId: string, given: unknown): void {
  const wanted = Buffer.from(formToken(sessionId))
  const found = Buffer.from(typeof given === 'string' ? given : '')
  if (found.length === wanted.length && timingSafeEqual(found, wanted)) return
  throw new TtsError(
    'access_denied',
    'the form was not sent from a page of this session: open the page again and repeat it',
    { check: 'form_token' },
  )
}

/** Security of the pages: headers, and the checks that a form was sent from a page of this service. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Request, RequestHandler } from 'express'
import { TtsError } from '../../base/errors.ts'
import { absoluteUrl, type Site } from '../site.ts'

/** Allows only the style sheet, script, images and forms of this service; no inline code, no frames. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "style-src 'self'",
  "script-src 'self'",
  "img-src 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ')

/** Sets the headers of every page, in addition to those of all answers. */
export const pageHeaders: RequestHandler = function pageHeaders(_request, response, next) {
  response.setHeader('Content-Security-Policy', CONTENT_SECURITY_POLICY)
  response.setHeader('X-Frame-Options', 'DENY')
  // With no-referrer, browsers would send `Origin: null` with the forms of this service.
  response.setHeader('Referrer-Policy', 'same-origin')
  response.setHeader('Cache-Control', 'no-store')
  response.vary('Cookie')
  next()
}

/** Returns whether the browser reports that the request comes from another site. */
export function isCrossSite(request: Request): boolean {
  const site = request.get('sec-fetch-site')
  return site === 'cross-site' || site === 'same-site'
}

/**
 * Checks that a state-changing request comes from a page of this service. Browsers report it in Sec-Fetch-Site or
 * Origin; for a browser that sends neither, the form token decides.
 *
 * @throws {TtsError} `access_denied`, check `origin`
 */
export function requireSameOrigin(site: Site, request: Request): void {
  const fetchSite = request.get('sec-fetch-site')
  if (fetchSite !== undefined && fetchSite !== 'same-origin') throw foreignOrigin(site)
  const origin = request.get('origin')
  if (fetchSite === undefined && origin !== undefined && origin !== site.publicUrl().origin)
    throw foreignOrigin(site)
}

function foreignOrigin(site: Site): TtsError {
  return new TtsError('access_denied', 'the request comes from a page of another site', {
    check: 'origin',
    remedy: `If the page is your own, set listen.public_url to the URL that users open; it is now ${absoluteUrl(site, '/')}.`,
  })
}

/** Returns the form token of a session. It is derived from the session id, and does not reveal the id. */
export function formToken(sessionId: string): string {
  return createHash('sha256').update(`tts form token v1\0${sessionId}`).digest('base64url')
}

/** @throws {TtsError} `access_denied`, check `form_token` */
export function requireFormToken(sessionId: string, token: unknown): void {
  const expected = Buffer.from(formToken(sessionId))
  const received = Buffer.from(typeof token === 'string' ? token : '')
  if (received.length === expected.length && timingSafeEqual(received, expected)) return
  throw new TtsError(
    'access_denied',
    'the form does not belong to this session: open the page again and send the form again',
    { check: 'form_token' },
  )
}

/** The cookies of the page: the session's, that of a login under way, and that of a visit from a relying service. */
import type { Request, Response } from 'express'
import { basePath, isLoopbackUrl, type Site } from '../site.ts'

export type CookieName = 'session' | 'login' | 'relying'

/**
 * By https the prefix keeps the name to this host and to secure transport (RFC 6265bis section 4.1.3.2). Under a path, where others
 * answer on the same host, the cookie must not be sent to them: that prefix would not let it have a path.
 */
export function cookieName(site: Site, name: CookieName): string {
  const prefix = basePath(site) === '' ? '__Host-' : '__Secure-'
  return `${isSecure(site) ? prefix : ''}tts_${name}`
}

/** The value of a cookie; undefined when there is none, or more than one. */
export function readCookie(site: Site, request: Request, name: CookieName): string | undefined {
  const wanted = `${cookieName(site, name)}=`
  const values = (request.get('cookie') ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(wanted))
    .map((pair) => pair.slice(wanted.length))
  const [value] = values
  return values.length === 1 && value !== undefined && /^[\w.~-]{1,1024}$/.test(value)
    ? value
    : undefined
}

/** Sets a cookie that ends with the browser, or after `maxAgeSeconds`. */
export function setCookie(
  site: Site,
  response: Response,
  cookie: { readonly name: CookieName; readonly value: string; readonly maxAgeSeconds?: number },
): void {
  const { name, value, maxAgeSeconds } = cookie
  const parts = [
    `${cookieName(site, name)}=${value}`,
    `Path=${basePath(site) || '/'}`,
    'HttpOnly',
    // The provider leads back by a link from another site: Strict would leave the cookie behind there.
    'SameSite=Lax',
    ...(isSecure(site) ? ['Secure'] : []),
    ...(maxAgeSeconds === undefined ? [] : [`Max-Age=${maxAgeSeconds}`]),
  ]
  response.append('Set-Cookie', parts.join('; '))
}

export function clearCookie(site: Site, response: Response, name: CookieName): void {
  setCookie(site, response, { name, value: '', maxAgeSeconds: 0 })
}

function isSecure(site: Site): boolean {
  return site.publicUrl().protocol === 'https:'
}

/** Cookies that hold a session cross the network only by https; this machine is no network. */
export function mayUseCookies(site: Site): boolean {
  return isSecure(site) || isLoopbackUrl(site.publicUrl().hostname)
}

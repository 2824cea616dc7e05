/** The cookies of the pages: for the session, for a pending login, and for a visit from a relying service. */
import type { Request, Response } from 'express'
import { basePath, isLoopbackUrl, type Site } from '../site.ts'

export type CookieName = 'session' | 'login' | 'relying'

/**
 * Returns the name of a cookie. Over https, the prefix binds the cookie to this host and to secure transport (RFC
 * 6265bis section 4.1.3.2). If the service is under a path, the cookie must have that path, so that other services on
 * the host do not get it; `__Host-` does not allow a path.
 */
export function cookieName(site: Site, name: CookieName): string {
  const prefix = basePath(site) === '' ? '__Host-' : '__Secure-'
  return `${isSecure(site) ? prefix : ''}tts_${name}`
}

/** Returns the value of a cookie; undefined when there is none, or more than one. */
export function readCookie(site: Site, request: Request, name: CookieName): string | undefined {
  const prefix = `${cookieName(site, name)}=`
  const values = (request.get('cookie') ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(prefix))
    .map((pair) => pair.slice(prefix.length))
  const [value] = values
  return values.length === 1 && value !== undefined && /^[\w.~-]{1,1024}$/.test(value)
    ? value
    : undefined
}

/** Sets a cookie that expires when the browser closes, or after `maxAgeSeconds`. */
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
    // The provider redirects back from another site. With Strict, the browser would not send the cookie then.
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

/** Session cookies must cross a network only over https. Loopback addresses are not a network. */
export function mayUseCookies(site: Site): boolean {
  return isSecure(site) || isLoopbackUrl(site.publicUrl().hostname)
}

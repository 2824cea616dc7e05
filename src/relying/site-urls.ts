/** Decides which URLs belong to a relying service. It compares parsed URLs, never text. */

const MAX_URL = 2048

/**
 * Returns the URL if it is under the base: same scheme, host and port, and the path of the base or one below it.
 * Otherwise returns undefined, for example for `https://site.example.evil.org`, `https://site.example@evil.org` and
 * `/base/../other`.
 */
export function urlUnder(text: string, base: string): URL | undefined {
  const url = parseUrl(text)
  const root = new URL(base)
  if (url === undefined || url.origin !== root.origin) return undefined
  const path = root.pathname.replace(/\/+$/, '')
  if (path === '') return url
  // Servers interpret these differently: for some, the result would be a path outside the base.
  if (/%(00|2e|2f|5c)/i.test(url.pathname)) return undefined
  return url.pathname === path || url.pathname.startsWith(`${path}/`) ? url : undefined
}

/**
 * Returns whether a Referer header names the site of the base. Browsers usually send only the origin of another site
 * (`strict-origin-when-cross-origin`). If the header has a path, it must be under that of the base.
 */
export function isRefererOf(referer: string, base: string): boolean {
  const url = parseUrl(referer)
  if (url === undefined) return false
  const isOriginOnly = url.origin === new URL(base).origin && url.pathname === '/'
  return (isOriginOnly && url.search === '') || urlUnder(referer, base) !== undefined
}

function parseUrl(text: string): URL | undefined {
  // URL parsers drop tabs and newlines, and treat backslashes as slashes.
  if (text.length > MAX_URL || !/^https?:\/\/[^\s\\]+$/i.test(text)) return undefined
  // oxlint-disable-next-line no-control-regex -- these are the ones that must not get through
  if (/[\u0000-\u001f\u007f]/.test(text) || !URL.canParse(text)) return undefined
  const url = new URL(text)
  return url.username === '' && url.password === '' ? url : undefined
}

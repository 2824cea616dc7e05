/** Which addresses belong to a relying service: compared as parsed URLs, never as texts. */

const MAX_URL = 2048

/**
 * The URL when it lies under the base: same scheme, host and port, and a path that is the base's or below it; undefined
 * otherwise. `https://site.example.evil.org`, `https://site.example@evil.org` and `/base/../other` do not.
 */
export function urlUnder(text: string, base: string): URL | undefined {
  const url = parseUrl(text)
  const root = new URL(base)
  if (url === undefined || url.origin !== root.origin) return undefined
  const path = root.pathname.replace(/\/+$/, '')
  if (path === '') return url
  // Servers disagree on what these mean: some would take the rest for a path outside.
  if (/%(00|2e|2f|5c)/i.test(url.pathname)) return undefined
  return url.pathname === path || url.pathname.startsWith(`${path}/`) ? url : undefined
}

/**
 * Whether a Referer header is one of the base's site. Browsers mostly tell no more of another site than its origin
 * (`strict-origin-when-cross-origin`); a path that is told must lie under the base's.
 */
export function isRefererOf(referer: string, base: string): boolean {
  const url = parseUrl(referer)
  if (url === undefined) return false
  const isOriginAlone = url.origin === new URL(base).origin && url.pathname === '/'
  return (isOriginAlone && url.search === '') || urlUnder(referer, base) !== undefined
}

function parseUrl(text: string): URL | undefined {
  // Parsers drop tabs and newlines, and take backslashes for slashes.
  if (text.length > MAX_URL || !/^https?:\/\/[^\s\\]+$/i.test(text)) return undefined
  // oxlint-disable-next-line no-control-regex -- these are the ones that must not get through
  if (/[\u0000-\u001f\u007f]/.test(text) || !URL.canParse(text)) return undefined
  const url = new URL(text)
  return url.username === '' && url.password === '' ? url : undefined
}

/** Normalises the target of a request (RFC 9112 section 3.2) to the form that the routes expect. */
import type { IncomingMessage } from 'node:http'

const malformed = new WeakSet<IncomingMessage>()

/** Returns whether the target was malformed. Such a request has the path `/`, and must be refused. */
export function hasMalformedTarget(request: IncomingMessage): boolean {
  return malformed.has(request)
}

/**
 * Converts a target in absolute form (`http://host/path`), which a server must accept, to a path. Express refuses a
 * target that it cannot parse before our middleware runs, so that such a request would get none of our headers,
 * limits and log lines; this prevents that.
 */
export function normaliseTarget(request: IncomingMessage): void {
  const { url = '/' } = request
  if (url.startsWith('/') || url === '*') return
  const absolute = URL.canParse(url) ? new URL(url) : undefined
  if (absolute?.protocol === 'http:' || absolute?.protocol === 'https:') {
    request.url = `${absolute.pathname}${absolute.search}`
    return
  }
  malformed.add(request)
  request.url = '/'
}

/** The target of a request (RFC 9112 section 3.2) in the one form that the routes know. */
import type { IncomingMessage } from 'node:http'

const malformed = new WeakSet<IncomingMessage>()

/** Whether the target could not be understood; the request then has the path `/`, and must be refused. */
export function hasMalformedTarget(request: IncomingMessage): boolean {
  return malformed.has(request)
}

/**
 * Makes an absolute target (`http://host/path`, which a server must take) an ordinary one. Express gives up on what cannot be
 * parsed before any middleware of ours runs, so that such a request would have no headers, limits or log line of ours.
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

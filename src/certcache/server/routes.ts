/** The paths of certcache, the old cache's among them. */
import type { CountedPath } from './metrics.ts'

/** Where a request goes. */
export interface Route {
  readonly path: CountedPath
  /** The proxy that is named; undefined where none is. */
  readonly name: string | undefined
}

const known = ['/get_proxy', '/cgi-bin/get_proxy', '/health', '/metrics', '/status'] as const
const exact = new Map<string, Route>(known.map((path) => [path, { path, name: undefined }]))
const other: Route = { path: 'other', name: undefined }

/**
 * Finds the route of a request target. `/get_proxy/NAME` and `?name=NAME` name a proxy. Doubled slashes count as one:
 * `$PROXY_CACHE/cgi-bin/get_proxy` has one when the variable ends in a slash.
 */
export function routeOf(target: string): Route {
  const found = exact.get(target)
  if (found) return found
  const question = target.indexOf('?')
  const written = question < 0 ? target : target.slice(0, question)
  const path = written.replace(/\/{2,}/g, '/').replace(/(.)\/$/, '$1')
  const name =
    question < 0
      ? undefined
      : (new URLSearchParams(target.slice(question)).get('name') ?? undefined)
  const plain = exact.get(path)
  if (plain) return { path: plain.path, name }
  const [, base = '', last = ''] = /^(.+)\/([A-Za-z0-9._-]{1,64})$/.exec(path) ?? []
  const above = exact.get(base)
  return above && base.endsWith('/get_proxy') ? { path: above.path, name: last } : other
}

/** The paths of certcache, including those of the old cache. */
import type { CountedPath } from './metrics.ts'

/** The route of a request. */
export interface Route {
  readonly path: CountedPath
  /** The name of the requested proxy; undefined if the request names none. */
  readonly name: string | undefined
}

const knownPaths = ['/get_proxy', '/cgi-bin/get_proxy', '/health', '/metrics', '/status'] as const
const exact = new Map<string, Route>(knownPaths.map((path) => [path, { path, name: undefined }]))
const other: Route = { path: 'other', name: undefined }

/**
 * Finds the route of a request target. `/get_proxy/NAME` and `?name=NAME` name a proxy. Double slashes count as one:
 * scripts of the old cache write `$PROXY_CACHE/cgi-bin/get_proxy`, and the variable may end in a slash.
 */
export function routeOf(target: string): Route {
  const direct = exact.get(target)
  if (direct) return direct
  const question = target.indexOf('?')
  const rawPath = question < 0 ? target : target.slice(0, question)
  const path = rawPath.replace(/\/{2,}/g, '/').replace(/(.)\/$/, '$1')
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

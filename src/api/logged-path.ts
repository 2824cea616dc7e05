/**
 * The form of a path that is safe to log. It has no text that the client chose, because that may be a misplaced token.
 */

/** First segments of the existing paths. */
const KNOWN_SEGMENTS: ReadonlySet<string> = new Set([
  '.well-known',
  'api',
  'assets',
  'audit',
  'ca',
  'credentials',
  'delegations',
  'download',
  'healthz',
  'login',
  'logout',
  'metrics',
  'openapi.json',
  'problems',
  'readyz',
  'rsp',
  'services',
  'v1',
])

/**
 * @param route pattern of the route that answered, or `other`
 * @param target path and query of the request
 * @returns the pattern; for an unknown path, only its first segment, if that is a known one
 */
export function loggedPath(route: string, target: string): string {
  if (route !== 'other') return route
  const [path = ''] = target.split('?', 1)
  const [first = '', ...rest] = path.split('/').filter((segment) => segment !== '')
  if (first === '') return '/'
  const shown = KNOWN_SEGMENTS.has(first) ? first : '[unknown]'
  return rest.length > 0 ? `/${shown}/[...]` : `/${shown}`
}

/** What the log says of a path: never a part of it that a client chose, since that may be a token in the wrong place. */

/** First segments of paths that exist. */
const KNOWN_SEGMENTS: ReadonlySet<string> = new Set([
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
 * @param route the pattern of the route that answered, or `other`
 * @param target path and query as they came
 * @returns the pattern; for a path of no route its first segment, where that is one of ours
 */
export function loggedPath(route: string, target: string): string {
  if (route !== 'other') return route
  const [path = ''] = target.split('?', 1)
  const [first = '', ...rest] = path.split('/').filter((segment) => segment !== '')
  if (first === '') return '/'
  const shown = KNOWN_SEGMENTS.has(first) ? first : '[unknown]'
  return rest.length > 0 ? `/${shown}/[...]` : `/${shown}`
}

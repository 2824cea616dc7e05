/**
 * The form of a path that is safe to log: the whole path, without text that a client chose, because that may be a
 * misplaced token.
 */
import { errorCodes } from './error-codes.ts'

/** Segments of the existing paths. */
const PATH_WORDS: ReadonlySet<string> = new Set([
  '.well-known',
  'access-token',
  'access_token',
  'additional_logins',
  'api',
  'assets',
  'audit',
  'ban',
  'ca',
  'ca.der',
  'ca.pem',
  'ca.pub',
  'callback',
  'certificates',
  'chain.pem',
  'credential',
  'credential_data',
  'credentials',
  'crl.der',
  'crl.pem',
  'delegations',
  'download',
  'favicon.ico',
  'forget',
  'generate-ac',
  'healthz',
  'info',
  'jwks',
  'krl',
  'lift',
  'login',
  'logout',
  'metrics',
  'new',
  'oauth-authorization-server',
  'oauth-protected-resource',
  'oauth2',
  'oidc',
  'oidcp',
  'openapi.json',
  'openid-configuration',
  'params',
  'problems',
  'proxies',
  'readyz',
  'request',
  'revoke',
  'rsp',
  'service',
  'services',
  'ssh',
  'start',
  'successor',
  'token',
  'trust-anchors.tar.gz',
  'v1',
  'v2',
  'voms.tar.gz',
  'vomses',
  ...Object.keys(errorCodes),
])

/** Ids that the service itself makes: UUIDs, and those of CAs. */
const OWN_ID = /^[0-9a-f]{8}((-[0-9a-f]{4}){3}-[0-9a-f]{12})?$/
const HIDDEN = '[...]'
const MAX_SEGMENTS = 8

/**
 * @param target path and query of the request
 * @param configured ids of providers and services
 * @returns the path; each segment that is neither a word of our paths nor an id of ours is replaced
 */
export function loggedPath(target: string, configured: ReadonlySet<string>): string {
  const [path = ''] = target.split('?', 1)
  const segments = path.split('/').filter((segment) => segment !== '')
  const isOurs = (segment: string): boolean =>
    PATH_WORDS.has(segment) || configured.has(segment) || OWN_ID.test(segment)
  const shown = segments
    .slice(0, MAX_SEGMENTS)
    .map((segment) => (isOurs(segment) ? segment : HIDDEN))
  return `/${shown.join('/')}${segments.length > MAX_SEGMENTS ? `/${HIDDEN}` : ''}`
}

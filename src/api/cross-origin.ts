/**
 * Cross-origin requests by scripts of other web pages (CORS), off by default. Only paths that read a bearer token or
 * nothing, never those that accept a session cookie: the pages and the WaTTS API. So an allowed origin gets nothing
 * from a browser that its script does not have a token for.
 *
 * @see https://fetch.spec.whatwg.org/#http-cors-protocol
 */
import type { RequestHandler } from 'express'

/** The paths for which an origin can be allowed. */
const PATHS = /^\/(v1\/.+|oauth2\/(token|jwks)\/?|openapi\.json|\.well-known\/.+)$/

const EXPOSED = [
  'Retry-After',
  'TTS-Credential-Id',
  'TTS-Not-After',
  'TTS-Renews-Until',
  'TTS-Warning',
  'WWW-Authenticate',
  'X-Request-Id',
].join(', ')

/** Time for which a browser may remember the answer to a preflight request. */
const MAX_AGE_SECONDS = 600

/**
 * Returns middleware that lets scripts of these origins read the answers. It sets headers only: `answerOptions` answers
 * preflight requests, without authentication. Credentials of the browser are never allowed.
 *
 * @param origins exact origins, such as `https://portal.example.org`
 */
export function crossOrigin(origins: readonly string[]): RequestHandler {
  const allowed = new Set(origins)
  return function crossOrigin(request, response, next) {
    const origin = request.get('origin')
    if (PATHS.test(request.path)) {
      response.vary('Origin')
      if (origin !== undefined && allowed.has(origin)) {
        response.setHeader('Access-Control-Allow-Origin', origin)
        response.setHeader('Access-Control-Expose-Headers', EXPOSED)
        if (request.method === 'OPTIONS') {
          response.setHeader('Access-Control-Allow-Methods', 'GET, POST, DELETE')
          response.setHeader('Access-Control-Allow-Headers', 'Authorization, Content-Type')
          response.setHeader('Access-Control-Max-Age', String(MAX_AGE_SECONDS))
        }
      }
    }
    next()
  }
}

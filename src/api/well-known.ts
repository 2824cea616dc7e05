/** Documents at /.well-known: public metadata of this service, which depend on its public URL alone. */
import type { RequestHandler } from 'express'
import { sendTagged, taggedOnce } from './tagged-answer.ts'

/** A document with its place. */
export interface WellKnownDocument {
  /** `/.well-known/` and the name of the document. */
  readonly path: string
  readonly publicUrl: string
  readonly content: object
}

/**
 * Returns the URL of a document: the well-known path between the host and the path of the public URL.
 *
 * @see RFC 8414 section 3, RFC 9728 section 3.1
 */
export function wellKnownUrl(publicUrl: string, path: string): string {
  const { origin } = new URL(publicUrl)
  return `${origin}${path}${pathOf(publicUrl)}`
}

/**
 * Returns the handler of a document. A reverse proxy may remove the path of `publicUrl` from the end of the well-known
 * path or leave it, so both paths answer.
 */
export function serveWellKnown({ path, publicUrl, content }: WellKnownDocument): RequestHandler {
  const tagged = taggedOnce((value: object) => Buffer.from(JSON.stringify(value)))
  const paths = new Set([path, `${path}${pathOf(publicUrl)}`])
  return function serveWellKnown(request, response, next) {
    if (!paths.has(request.path) || !['GET', 'HEAD'].includes(request.method)) {
      next()
      return
    }
    response.locals['route'] = path
    sendTagged(response.type('application/json'), tagged(content))
  }
}

/** Returns the paths of a document with their methods. */
export function wellKnownMethods(path: string): readonly [RegExp, string] {
  return [new RegExp(`^${path.replaceAll('.', '\\.')}(/.*)?$`), 'GET, HEAD']
}

/** Returns the path of a URL without a slash at its end. */
function pathOf(url: string): string {
  return new URL(url).pathname.replace(/\/+$/, '')
}

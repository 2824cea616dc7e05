/**
 * Answers messages that are not valid HTTP or arrive too slowly. No route can do that, because there is no request
 * object.
 */
import type { Server as HttpServer } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import { Socket } from 'node:net'
import type { OpenResponses } from './open-responses.ts'

/** HTTP status by error code of Node's parser; any other code is 400. */
const statuses: Readonly<Record<string, readonly [number, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Content Too Large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
}

export interface MalformedOptions {
  /** Called with the parser's code and the client's address. */
  readonly onMalformed?: ((code: string, address: string) => void) | undefined
  /** URL of the problem types (RFC 9457 section 3.1.1). */
  readonly problemsUrl: string
  /** The whole answer, in place of an HTTP response. */
  readonly answer?: string | undefined
}

/**
 * Answers malformed messages on all connections of a server.
 *
 * @param open unfinished responses of each connection: this answer must not be inside a response that has started, or
 * before one that is due
 */
export function answerMalformed(
  server: HttpServer | HttpsServer,
  open: OpenResponses,
  { onMalformed = () => undefined, problemsUrl, answer }: MalformedOptions,
): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const { code = 'unknown' } = error
    const isSocket = socket instanceof Socket
    onMalformed(code, (isSocket ? socket.remoteAddress : undefined) ?? '')
    const [first, ...others] = isSocket ? open.of(socket) : []
    const isDue = first !== undefined && (first.headersSent || first.req.complete)
    const mayAnswer = !isDue && others.length === 0
    if (socket.writable && mayAnswer) socket.end(answer ?? answerTo(code, problemsUrl))
    else socket.destroy()
  })
}

function answerTo(code: string, problemsUrl: string): string {
  const [status, title] = statuses[code] ?? [400, 'Bad Request']
  const body = JSON.stringify({
    type: `${problemsUrl}/invalid_request`,
    title,
    status,
    detail:
      status === 431
        ? 'the request headers are too long, probably because the access token is'
        : 'the message is not valid HTTP/1.1, is too large, or arrived too slowly',
    code: 'invalid_request',
    check: 'http',
  })
  return [
    `HTTP/1.1 ${status} ${title}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    'Connection: close',
    '',
    body,
  ].join('\r\n')
}

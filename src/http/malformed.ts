/** Messages that are no HTTP, or come too slowly: answered in our own shape, since no request exists that a route could answer. */
import type { Server as HttpServer } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import { Socket } from 'node:net'
import type { OpenResponses } from './open-responses.ts'

/** Statuses by the code of Node's parser; all else is 400. */
const statuses: Readonly<Record<string, readonly [number, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Payload Too Large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
}

/**
 * @param open of each connection, since nothing may stand inside an answer that has begun, or before one that is due
 * @param onMalformed told the parser's code and the client's address
 */
export function answerMalformed(
  server: HttpServer | HttpsServer,
  open: OpenResponses,
  onMalformed: (code: string, address: string) => void = () => undefined,
): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const { code = 'unknown' } = error
    const isSocket = socket instanceof Socket
    onMalformed(code, (isSocket ? socket.remoteAddress : undefined) ?? '')
    const [first, ...others] = isSocket ? open.of(socket) : []
    const isDue = first !== undefined && (first.headersSent || first.req.complete)
    const mayAnswer = !isDue && others.length === 0
    if (socket.writable && mayAnswer) socket.end(answerTo(code))
    else socket.destroy()
  })
}

function answerTo(code: string): string {
  const [status, title] = statuses[code] ?? [400, 'Bad Request']
  const body = JSON.stringify({
    type: 'urn:tts:error:invalid_request',
    title,
    status,
    detail: 'the message is not HTTP as it is understood here, is too large, or came too slowly',
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

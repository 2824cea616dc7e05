/** Messages that are no HTTP, or come too slowly: answered in our own shape, since no request exists that a route could answer. */
import type { Server as HttpServer, ServerResponse } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import { Socket } from 'node:net'

/** Statuses by the code of Node's parser; all else is 400. */
const statuses: Readonly<Record<string, readonly [number, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Payload Too Large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
}

/** @param onMalformed told the parser's code and the client's address */
export function answerMalformed(
  server: HttpServer | HttpsServer,
  onMalformed: (code: string, address: string) => void = () => undefined,
): void {
  const underWay = new WeakMap<object, ServerResponse>()
  server.on('request', (request, response) => void underWay.set(request.socket, response))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const { code = 'unknown' } = error
    const { remoteAddress = '' } = socket instanceof Socket ? socket : {}
    onMalformed(code, remoteAddress)
    const response = underWay.get(socket)
    // Nothing else may stand inside an answer that has begun.
    const isAnswering = response?.headersSent === true && !response.writableFinished
    if (socket.writable && !isAnswering) socket.end(answerTo(code))
    else socket.destroy()
  })
}

function answerTo(code: string): string {
  const [status, title] = statuses[code] ?? [400, 'Bad Request']
  const body = problemText({
    code: 'invalid_request',
    status,
    title,
    detail: 'the message is not HTTP as it is understood here, is too large, or came too slowly',
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

/** A problem document (RFC 9457) for what no route answers. */
export function problemText(problem: {
  readonly code: string
  readonly status: number
  readonly title: string
  readonly detail: string
  readonly check: string
}): string {
  const { code, status, title, detail, check } = problem
  return JSON.stringify({ type: `urn:tts:error:${code}`, title, status, detail, code, check })
}

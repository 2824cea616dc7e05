/**
 * A bare Node HTTP server: reads each request to its end and answers with a fixed number of bytes. Its CPU time for a
 * request is what any service on Node spends on HTTP alone. Started by `bare.ts` with the size of a whole answer.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** The head that this server writes, without the digits of the length. */
const HEAD_BYTES = Buffer.byteLength(
  [
    'HTTP/1.1 200 OK',
    'Content-Type: application/x-pem-file',
    'Content-Length: ',
    'Date: Mon, 01 Jan 2024 00:00:00 GMT',
    'Connection: keep-alive',
    'Keep-Alive: timeout=5',
    '\r\n',
  ].join('\r\n'),
)

const answerBytes = Number(process.argv[2])
const withDigits = answerBytes - HEAD_BYTES
const body = 'x'.repeat(Math.max(0, withDigits - String(withDigits).length))
const headers = { 'Content-Type': 'application/x-pem-file', 'Content-Length': body.length }

const server = createServer((request, response) => {
  request.resume().once('end', () => response.writeHead(200, headers).end(body))
}).listen(0, '127.0.0.1', () => {
  process.stdout.write(`listening on ${(server.address() as AddressInfo).port}\n`)
})

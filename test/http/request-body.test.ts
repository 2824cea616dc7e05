import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { TtsError } from '../../src/base/errors.ts'
import { hasBody, readBody } from '../../src/http/request-body.ts'

/** The outcome of what a server does with one request that a client sends and then, perhaps, leaves. */
async function serveOnce<Outcome>(
  text: string,
  work: (request: IncomingMessage, response: ServerResponse) => Promise<Outcome>,
  leaves = false,
): Promise<Outcome> {
  const server = createServer()
  const outcome = new Promise<Outcome>((resolve, reject) => {
    server.once('request', (request, response) => {
      if (leaves) client.destroy()
      work(request, response).then(resolve, reject)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  client.on('error', () => undefined)
  onTestFinished(() => {
    client.destroy()
    server.closeAllConnections()
    server.close()
  })
  client.write(text)
  return outcome
}

const post = (headers: string, body: string): string =>
  `POST / HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n${body}`
const bounds = { maxBytes: 10, timeoutMs: 60_000 }

test('a client that left before anybody read: told at once', async () => {
  const error: unknown = await serveOnce(
    post('Content-Length: 5', 'abc'),
    async (request, response) => {
      await new Promise((resolve) => request.once('close', resolve))
      return readBody(request, response, bounds).catch((reason: unknown) => reason)
    },
    true,
  )
  expect(error).toBeInstanceOf(TtsError)
  expect(error).toMatchObject({ code: 'invalid_request', check: 'body_incomplete' })
})

test('a request that others need the room of is given up', async () => {
  const given = new TtsError('overloaded', 'no room', { check: 'slow_client' })
  const error: unknown = await serveOnce(post('Content-Length: 5', 'abc'), (request, response) =>
    readBody(request, response, {
      ...bounds,
      waiting: (giveUp) => {
        setImmediate(() => giveUp(given))
        return () => undefined
      },
    }).catch((reason: unknown) => reason),
  )
  expect(error).toBe(given)
})

test.for([
  { name: 'a length', headers: 'Content-Length: 5', body: 'abcde', read: 'abcde' },
  {
    name: 'the length that is taken',
    headers: 'Content-Length: 10',
    body: '0123456789',
    read: '0123456789',
  },
  {
    name: 'chunks',
    headers: 'Transfer-Encoding: chunked',
    body: '2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n',
    read: 'abcde',
  },
  { name: 'no chunk at all', headers: 'Transfer-Encoding: chunked', body: '0\r\n\r\n', read: '' },
  { name: 'length 0', headers: 'Content-Length: 0', body: '', read: '' },
  { name: 'no body', headers: 'X: y', body: '', read: '' },
])('$name', async ({ headers, body, read }) => {
  const found = await serveOnce(post(headers, body), async (request, response) => ({
    has: hasBody(request),
    body: (await readBody(request, response, bounds)).toString(),
  }))
  expect(found).toEqual({ has: !/: 0$|X:/.test(headers), body: read })
})

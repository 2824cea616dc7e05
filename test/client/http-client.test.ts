import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { serviceRefusal, requireSafeToken, send } from '../../src/client/http-client.ts'
import { exitCodeOf } from '../../src/cli/exit-codes.ts'
import { TtsError } from '../../src/base/errors.ts'
import { freePort } from '../support/grid-site.ts'

const servers: { close(): unknown }[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function serve(listener: RequestListener): Promise<URL> {
  const server: Server = createServer(listener)
  servers.push({ close: () => (server.closeAllConnections(), server.close()) })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
}

const ask = (url: URL, timeoutMs = 5000) =>
  send({
    url,
    method: 'POST',
    headers: {},
    body: '',
    certificateAuthorities: undefined,
    timeoutMs,
  })

async function failure(answer: Promise<unknown>): Promise<TtsError> {
  const error: unknown = await answer.catch((thrown: unknown) => thrown)
  if (!(error instanceof TtsError)) throw new Error(`wanted a TtsError, found ${String(error)}`)
  return error
}

test.for(['http://tts.example.org/', 'http://127.0.0.1.example.org/', 'http://10.0.0.1:8080/'])(
  'a token does not go to %s in clear',
  async (url) => {
    expect(() => requireSafeToken(new URL(url))).toThrow(/plain http.*use https/)
    expect((await failure(ask(new URL(url)))).code).toBe('invalid_request')
  },
)

test.for(['https://tts.example.org', 'http://localhost:1', 'http://[::1]/', 'http://127.0.0.1/'])(
  'a token may go to %s',
  (url) => {
    expect(() => requireSafeToken(new URL(url))).not.toThrow()
  },
)

test('a service that does not answer is given up', async () => {
  const url = await serve(() => undefined)
  const { code, message } = await failure(ask(url, 50))
  expect(code).toBe('provider_unavailable')
  expect(message).toContain('it did not answer in time')
})

test('a service that does not end its answer is given up', async () => {
  const url = await serve((_request, response) => void response.write('{'))
  expect((await failure(ask(url, 100))).message).toContain('it did not answer in time')
})

test('an answer without end is cut off', async () => {
  const url = await serve((_request, response) => {
    const timer = setInterval(() => response.write(Buffer.alloc(300_000)), 1)
    response.once('close', () => clearInterval(timer))
  })
  expect((await failure(ask(url))).code).toBe('provider_unavailable')
})

test('nothing listens', async () => {
  const error = await failure(ask(new URL(`http://127.0.0.1:${await freePort()}/`)))
  expect(error.message).toContain('it refuses connections')
  expect(exitCodeOf(error)).toBe(4)
})

test('https to a port that does not speak TLS', async () => {
  const server = createTcpServer((socket) => socket.end('SSH-2.0-nothing\r\n'))
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const { message } = await failure(ask(new URL(`https://127.0.0.1:${port}/`)))
  expect(message).toMatch(/it does not use TLS on this port|it closed the connection/)
})

const answer = (status: number, body: object | string, headers = {}) => ({
  status,
  headers,
  body: typeof body === 'string' ? body : JSON.stringify(body),
})

test.for([
  { status: 400, code: 'invalid_csr', exit: 2 },
  { status: 400, code: 'invalid_request', exit: 2 },
  { status: 401, code: 'invalid_token', exit: 3 },
  { status: 403, code: 'access_denied', exit: 3 },
  { status: 404, code: 'not_found', exit: 5 },
  { status: 429, code: 'limit_reached', exit: 4 },
  { status: 500, code: 'internal', exit: 1 },
  { status: 502, code: undefined, exit: 4 },
  { status: 503, code: 'provider_unavailable', exit: 4 },
  { status: 504, code: undefined, exit: 4 },
  { status: 302, code: undefined, exit: 1 },
])('status $status ends with exit code $exit', ({ status, code, exit }) => {
  const body = code === undefined ? '<html>' : { code, detail: 'why', request_id: 'r1' }
  const error = serviceRefusal(answer(status, body))
  expect(exitCodeOf(error)).toBe(exit)
  expect(error.message).toBe(
    code === undefined
      ? `the service refused: HTTP status ${status}`
      : 'the service refused: why (request r1)',
  )
})

test.for([
  { code: 'access_denied', check: 'authorisation', remedy: /who can find the deciding rule/ },
  {
    code: 'grant_refused',
    check: 'user_disabled',
    remedy: /about your account\. Renewal continues/,
  },
  { code: 'grant_refused', check: 'aup_not_signed', remedy: /^Sign the acceptable use policy/ },
  { code: 'grant_refused', check: 'client_refused', remedy: /in the log under this request\.$/ },
  { code: 'grant_refused', check: 'constructor', remedy: /in the log under this request\.$/ },
])('a 403, $code by $check, says who can do what', ({ code, check, remedy }) => {
  expect(serviceRefusal(answer(403, { code, check, detail: 'why' })).remedy).toMatch(remedy)
})

test('says when to try again', () => {
  const busy = serviceRefusal(answer(503, {}, { 'retry-after': '7' }))
  expect(busy.remedy).toBe('Try again in 7 seconds.')
  expect(serviceRefusal(answer(429, {}, { 'retry-after': 'soon' })).remedy).toContain('later')
})

test('what a service says does not steer the terminal', () => {
  const { message } = serviceRefusal(answer(400, { detail: 'red\u001b[31m\u0007\u009b1m' }))
  expect(message).toBe('the service refused: red?[31m??1m')
})

test.for([
  { name: 'longer than 1 MiB', bytes: 1024 * 1024 + 1, isRead: false },
  { name: 'of 1 MiB', bytes: 1024 * 1024, isRead: true },
])('an answer $name: read $isRead', async ({ bytes, isRead }) => {
  const url = await serve((_request, response) => response.end('a'.repeat(bytes)))
  if (isRead) expect((await ask(url)).body).toHaveLength(bytes)
  else expect((await failure(ask(url))).code).toBe('provider_unavailable')
})

test('an answer that breaks off is a failure, not a short answer', async () => {
  const url = await serve((_request, response) => {
    response.writeHead(200, { 'content-length': '100' })
    response.write('half', () => response.destroy())
  })
  expect((await failure(ask(url))).code).toBe('provider_unavailable')
})

import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { pemOf, requireSafeToken, send, serviceRefusal } from '../../src/client/http-client.ts'
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

test('an answer without end is cut off, and named', async () => {
  const url = await serve((_request, response) => {
    const timer = setInterval(() => response.write(Buffer.alloc(300_000)), 1)
    response.once('close', () => clearInterval(timer))
  })
  const { code, message } = await failure(ask(url))
  expect(code).toBe('provider_unavailable')
  expect(message).toMatch(/not available: the answer is too long$/)
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

test('a port that does not speak HTTP', async () => {
  const server = createTcpServer((socket) => void socket.end('SSH-2.0-nothing\r\n'))
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const { message } = await failure(ask(new URL(`http://127.0.0.1:${port}/`)))
  expect(message).toMatch(/not available: it does not speak HTTP on this port$/)
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
  { status: 400, code: undefined, exit: 1 },
  { status: 401, code: undefined, exit: 1 },
  { status: 404, code: undefined, exit: 1 },
  { status: 431, code: undefined, exit: 1 },
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
      ? `the answer is not from a Token Translation Service: HTTP status ${status}`
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
  const code = 'overloaded'
  const busy = serviceRefusal(answer(503, { code }, { 'retry-after': '7' }))
  expect(busy.remedy).toBe('Try again in 7 seconds.')
  expect(serviceRefusal(answer(429, { code }, { 'retry-after': 'soon' })).remedy).toContain('later')
})

test('what a service says does not steer the terminal', () => {
  const { message } = serviceRefusal(
    answer(400, { code: 'invalid_request', detail: 'red\u001b[31m\u0007\u009b1m' }),
  )
  expect(message).toBe('the service refused: red?[31m??1m')
})

describe('an answer that is not ours', () => {
  const html = { 'content-type': 'text/html; charset=utf-8' }
  test.for([
    { status: 400, says: /too long.*large_client_header_buffers/ },
    { status: 431, says: /too long.*large_client_header_buffers/ },
    { status: 401, says: /wants a login of its own/ },
    { status: 403, says: /wants a login of its own/ },
    { status: 404, says: /Check the address of the service, with its port and path/ },
    { status: 502, says: /does not reach it.*Try again later\.$/ },
    { status: 418, says: /a login page of the network/ },
  ])('HTML with status $status', ({ status, says }) => {
    const error = serviceRefusal(answer(status, '<html>hunter2</html>', html))
    expect(error.message).toBe(
      `the answer is not from a Token Translation Service: HTTP status ${status} with text/html`,
    )
    expect(error.remedy).toMatch(says)
    expect(error.check).toBe('foreign_answer')
    expect(error.code).toBe(status === 502 ? 'overloaded' : 'internal')
  })

  test('JSON without a code is another program’s', () => {
    const { check } = serviceRefusal(answer(403, { message: 'no' }, html))
    expect(check).toBe('foreign_answer')
  })

  test('a gateway says when to try again', () => {
    const error = serviceRefusal(answer(503, '', { ...html, 'retry-after': '7' }))
    expect(error).toMatchObject({ code: 'overloaded', retryAfterSeconds: 7 })
    expect(error.remedy).toMatch(/Try again in 7 seconds\.$/)
  })

  test('a redirect is named without its query', () => {
    const location = 'https://sso.example.org/login?token=hunter2#here'
    const { message, remedy } = serviceRefusal(answer(302, '', { location }))
    expect(message).toMatch(/HTTP status 302, a redirect to https:\/\/sso\.example\.org\/login$/)
    expect(remedy).toContain('a token is never sent to where a redirect leads')
    for (const odd of ['/login', 'javascript:alert(1)', '', '\u001b[31m'])
      expect(serviceRefusal(answer(302, '', { location: odd })).message).toMatch(/HTTP status 302$/)
  })

  test.for(['text/html', 'text/plain', '\u001b[31m', undefined])('200 with %s', (type) => {
    const response = answer(200, 'hello', type === undefined ? {} : { 'content-type': type })
    expect(() => pemOf(response)).toThrow('the answer is not from a Token Translation Service')
  })

  test('a certificate chain of the service is ours', () => {
    const headers = { 'content-type': 'application/x-pem-file; charset=utf-8' }
    expect(pemOf(answer(200, 'PEM', headers))).toBe('PEM')
  })
})

test.for([
  { status: 401, code: 'invalid_token', check: 'size' },
  { status: 431, code: 'invalid_request', check: 'http' },
])('a token that is too long for the service: status $status', ({ status, code, check }) => {
  expect(serviceRefusal(answer(status, { code, check, detail: 'why' })).remedy).toBe(
    'Request a token with fewer claims (scopes, groups), or ask the operator of the service to raise limits.token_bytes.',
  )
})

test('the trace has method, address, status and time, and no token', async () => {
  const url = await serve((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' }).end('hello')
  })
  const lines: string[] = []
  await send({
    url: new URL('v1/proxies?type=limited', url),
    method: 'POST',
    headers: { authorization: 'Bearer hunter2' },
    body: 'a body',
    certificateAuthorities: undefined,
    timeoutMs: 5000,
    trace: (line) => void lines.push(line),
  })
  expect(lines).toHaveLength(2)
  expect(lines[0]).toBe(`> POST ${url.origin}/v1/proxies?type=limited`)
  expect(lines[1]).toMatch(/^< 200 after \d+ ms \(text\/plain, 5 bytes\)$/)
})

test.for([
  { name: 'longer than 4 MiB', bytes: 4 * 1024 * 1024 + 1, isRead: false },
  { name: 'of 4 MiB', bytes: 4 * 1024 * 1024, isRead: true },
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

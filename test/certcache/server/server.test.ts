import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { Agent } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { HeldProxy } from '../../../src/certcache/proxy-engine.ts'
import type { ServerOptions } from '../../../src/certcache/server/server.ts'
import { TtsError } from '../../../src/base/errors.ts'
import { pkcs8Pem, sharedKey } from '../../support/keys.ts'
import {
  ask,
  serverSettings,
  makeHeldProxy,
  standInEngine,
  testServer,
  type TestServer,
} from '../server-support.ts'

const run = promisify(execFile)

let proxy: HeldProxy
let otherKey = ''
let directory = ''
beforeAll(async () => {
  proxy = await makeHeldProxy()
  otherKey = pkcs8Pem(await sharedKey('ec-p256'))
  directory = mkdtempSync(join(tmpdir(), 'certcache-server-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const open: TestServer[] = []
afterEach(async () => {
  for (const server of open.splice(0)) await server.close(0)
})
async function start(engine = standInEngine(), parts: Partial<ServerOptions> = {}) {
  const server = await testServer(engine, parts)
  open.push(server)
  return { engine, server }
}
async function warm(parts: Partial<ServerOptions> = {}) {
  const started = await start(standInEngine(), parts)
  started.engine.put(proxy)
  return started
}
const until = async (condition: () => boolean): Promise<void> =>
  expect.poll(condition, { interval: 2, timeout: 10_000 }).toBe(true)

describe('a proxy', () => {
  test.for([
    '/get_proxy',
    '/cgi-bin/get_proxy',
    '//cgi-bin/get_proxy',
    '/get_proxy/',
    '/get_proxy?',
    '/get_proxy?name=gwms_proxy',
    '/get_proxy/gwms_proxy',
    '/cgi-bin/get_proxy/gwms_proxy?x=1',
  ])('GET %s gives the whole file', async (path) => {
    const { server } = await warm()
    const { status, headers, body } = await server.ask(path)
    expect(status).toBe(200)
    expect(body.equals(proxy.pem)).toBe(true)
    expect(headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': String(proxy.pem.length),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'tts-not-after': proxy.notAfter.toISOString(),
      connection: 'keep-alive',
    })
    expect(headers).not.toHaveProperty('tts-warning')
  })

  test('HEAD has the same headers and no body', async () => {
    const { server } = await warm()
    const { status, headers, body } = await server.ask('/get_proxy', { method: 'HEAD' })
    expect({ status, length: headers['content-length'], body: body.length }).toEqual({
      status: 200,
      length: String(proxy.pem.length),
      body: 0,
    })
  })

  test('a new one is served from then on', async () => {
    const { engine, server } = await warm()
    await server.ask('/get_proxy')
    const other = await makeHeldProxy({ now: new Date(Date.now() + 5000) })
    expect(other.pem.equals(proxy.pem)).toBe(false)
    engine.put(other)
    expect((await server.ask('/get_proxy')).body.equals(other.pem)).toBe(true)
  })

  test('several by their names', async () => {
    const { engine, server } = await start(standInEngine(['gwms_proxy', 'limited']))
    const limited = {
      ...(await makeHeldProxy({ now: new Date(Date.now() + 9000) })),
      name: 'limited',
    }
    engine.put(proxy)
    engine.put(limited)
    expect((await server.ask('/get_proxy/limited')).body.equals(limited.pem)).toBe(true)
    expect((await server.ask('/get_proxy?name=limited')).body.equals(limited.pem)).toBe(true)
    expect((await server.ask('/get_proxy')).body.equals(proxy.pem)).toBe(true)
    for (const path of ['/get_proxy/other', '/get_proxy?name=other', '/get_proxy?name=']) {
      const { status, text } = await server.ask(path)
      expect([path, status]).toEqual([path, 404])
      expect(text).toBe('No proxy has this name. Available: gwms_proxy, limited.\n')
    }
  })

  test('with little life left it is served with a warning, and at its end no more', async () => {
    let now = proxy.obtainedAt
    const { engine, server } = await warm({ now: () => now, waitMs: 1 })
    now = new Date(proxy.notAfter.getTime() - 43_200_000)
    expect((await server.ask('/get_proxy')).headers['tts-warning']).toContain('renewal is late')
    now = new Date(proxy.notAfter.getTime() - 1)
    expect((await server.ask('/get_proxy')).status).toBe(200)
    // Even where the engine should still hold it.
    now = proxy.notAfter
    expect(engine.current()).toBe(proxy)
    const { status, text } = await server.ask('/get_proxy')
    expect({ status, leaks: text.includes('BEGIN') }).toEqual({ status: 503, leaks: false })
  })
})

describe('never 200 with anything but a whole valid proxy', () => {
  const cut = (length: number) => (): string => proxy.pem.toString().slice(0, length)
  const without = (label: string) => (): string =>
    proxy.pem.toString().replace(new RegExp(`-----BEGIN ${label}[^]*?END ${label}-----\n`), '')
  test.for([
    { name: 'an empty file', text: () => '' },
    { name: 'an error page', text: () => '<p>grid-proxy-info failed</p>' },
    { name: 'half a file', text: cut(2000) },
    { name: 'a file that lacks its last line', text: cut(-40) },
    { name: 'no key', text: without('RSA PRIVATE KEY') },
    {
      name: 'the key of another',
      text: () =>
        proxy.pem.toString().replace(/-----BEGIN RSA PRIVATE[^]*?PRIVATE KEY-----\n/, otherKey),
    },
    { name: 'no proxy, only its key and EEC', text: without('CERTIFICATE') },
    {
      name: 'only the proxy and its key',
      text: () => proxy.pem.toString().replace(/(END RSA PRIVATE KEY-----\n)[^]*$/, '$1'),
    },
  ])('$name', async ({ text }) => {
    const { engine, server } = await start()
    engine.put({ ...proxy, pem: Buffer.from(text()) })
    const told = await server.ask('/get_proxy')
    expect(told.status).toBe(503)
    expect(told.headers['retry-after']).toMatch(/^\d+$/)
    expect(told.text).toBe('No valid proxy is available: the proxy is incomplete.\n')
    expect(server.logged.join('')).toContain('proxy.not-served')
    expect(server.logged.join('')).not.toContain('BEGIN')
  })
})

describe('while the first proxy is being obtained', () => {
  test('a request waits for it', async () => {
    const { engine, server } = await start()
    const asked = server.ask('/get_proxy')
    await until(() => engine.obtained.count === 1)
    engine.put(proxy)
    const { status, body } = await asked
    expect({ status, whole: body.equals(proxy.pem) }).toEqual({ status: 200, whole: true })
  })

  test('it waits for a bounded time', async () => {
    const { engine, server } = await start(standInEngine(), { waitMs: 30 })
    const { status, headers, text } = await server.ask('/cgi-bin/get_proxy')
    expect({ status, retry: headers['retry-after'], text }).toEqual({
      status: 503,
      retry: '5',
      text: 'No valid proxy is available: the first proxy is still being requested.\n',
    })
    // Who waited alone has gone, so nobody waits any more.
    expect(engine.obtained).toEqual({ count: 1, aborted: 1 })
  })

  test('a bounded number waits, the others are refused at once', async () => {
    const { engine, server } = await start(standInEngine(), { waitingLimit: 3 })
    const waiting = [1, 2, 3].map(async () => server.ask('/get_proxy'))
    await until(() => engine.obtained.count === 1)
    await expect
      .poll(async () => (await server.ask('/metrics')).text)
      .toContain('certcache_waiting_requests 3')
    const refused = await server.ask('/get_proxy')
    expect({ status: refused.status, text: refused.text }).toEqual({
      status: 503,
      text: 'No valid proxy is available: too many requests are waiting for the first proxy.\n',
    })
    engine.put(proxy)
    for (const { status } of await Promise.all(waiting)) expect(status).toBe(200)
    expect((await server.ask('/metrics')).text).toContain('certcache_waiting_requests 0')
  })

  test.for([
    {
      error: new TtsError('provider_unavailable', 'the identity provider does not answer.'),
      retry: '5',
      says: 'the identity provider does not answer',
    },
    {
      error: new TtsError('delegation_ended', 'the delegation was revoked', {
        retryAfterSeconds: 9000,
      }),
      retry: '300',
      says: 'the delegation was revoked',
    },
    {
      error: new TtsError('overloaded', 'busy', { retryAfterSeconds: 0.2 }),
      retry: '1',
      says: 'busy',
    },
    { error: new Error('secret inside'), retry: '5', says: 'certcache failed internally' },
  ])('$error: 503 and why', async ({ error, retry, says }) => {
    const { engine, server } = await start()
    const waiting = server.ask('/get_proxy')
    await until(() => engine.obtained.count === 1)
    engine.fail(error)
    for (const told of [await waiting, await server.ask('/get_proxy')]) {
      expect(told.status).toBe(503)
      expect(told.headers['content-type']).toBe('text/plain; charset=utf-8')
      expect(told.headers['retry-after']).toBe(retry)
      expect(told.text).toBe(`No valid proxy is available: ${says}.\n`)
    }
  })

  test('a client that goes away waits no more', async () => {
    const { engine, server } = await start()
    const socket = connect(server.port, '127.0.0.1')
    socket.write('GET /get_proxy HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await until(() => engine.obtained.count === 1)
    socket.destroy()
    await until(() => engine.obtained.aborted === 1)
    expect((await server.ask('/metrics')).text).toContain('certcache_waiting_requests 0')
  })

  test('2,000 requests over 200 connections: one renewal, and all get the same whole proxy', async () => {
    const { engine, server } = await start()
    const agent = new Agent({ keepAlive: true, maxSockets: 200 })
    try {
      const asked = Array.from({ length: 2000 }, async (_, index) =>
        server.ask(index % 2 ? '/get_proxy' : '/cgi-bin/get_proxy', { agent }),
      )
      await expect
        .poll(async () => (await server.ask('/metrics')).text, { timeout: 10_000 })
        .toContain('certcache_waiting_requests 200')
      expect(engine.obtained.count).toBe(1)
      engine.put(proxy)
      const answers = await Promise.all(asked)
      const whole = answers.filter(({ status, body }) => status === 200 && body.equals(proxy.pem))
      expect(whole).toHaveLength(2000)
      expect(engine.obtained).toEqual({ count: 1, aborted: 0 })
      const { text } = await server.ask('/metrics')
      expect(text).toContain('certcache_http_requests_total{path="/get_proxy",status="200"} 1000')
      expect(text).toContain(
        'certcache_http_requests_total{path="/cgi-bin/get_proxy",status="200"} 1000',
      )
    } finally {
      agent.destroy()
    }
  })
})

describe('the old clients', () => {
  test("the worker's loop of curl ends with the proxy in its file", async () => {
    const { engine, server } = await start(standInEngine(), { waitMs: 50 })
    const worker = run(
      'bash',
      [
        '-c',
        `resp=0; tries=0
until [ $resp -eq 200 ]; do
    tries=$((tries+1))
    resp=$(curl -s \\
        -w%{http_code} \\
        $PROXY_CACHE/cgi-bin/get_proxy -o gwms_proxy)
done
chmod 600 gwms_proxy
echo $tries`,
      ],
      {
        cwd: directory,
        env: { PATH: process.env['PATH'], PROXY_CACHE: `http://127.0.0.1:${server.port}` },
        timeout: 20_000,
      },
    )
    await until(() => engine.obtained.count >= 3)
    engine.put(proxy)
    const { stdout } = await worker
    expect(Number(stdout)).toBeGreaterThanOrEqual(3)
    expect(readFileSync(join(directory, 'gwms_proxy')).equals(proxy.pem)).toBe(true)
  })

  test('curl as it is, by HTTP/1.0 and by HTTP/1.1', async () => {
    const { server } = await warm()
    for (const version of ['--http1.0', '--http1.1']) {
      const words = ['-s', '-f', version, `${server.url}/cgi-bin/get_proxy`]
      const { stdout } = await run('curl', words, { encoding: 'buffer' })
      expect([version, stdout.equals(proxy.pem)]).toEqual([version, true])
    }
  })
})

describe('/health', () => {
  const at = (secondsBeforeEnd: number) => () =>
    new Date(proxy.notAfter.getTime() - secondsBeforeEnd * 1000)
  test.for([
    { name: 'just obtained', left: 4 * 86_400, status: 200, says: /^OK$/ },
    { name: '12 hours left', left: 43_200, status: 200, says: /^OK$/ },
    {
      name: 'a second less',
      left: 43_199,
      status: 503,
      says: /^The proxy gwms_proxy expires in 11 hours 59 minutes; at least 12 hours should be left\.\n$/,
    },
    { name: 'ended', left: 0, status: 503, says: /^There is no valid proxy gwms_proxy\.\n$/ },
  ])('$name: $status', async ({ left, status, says }) => {
    const { server } = await warm({ now: at(left) })
    const told = await server.ask('/health')
    expect(told.status).toBe(status)
    expect(told.text).toMatch(says)
    expect(told.headers['content-type']).toBe('text/plain; charset=utf-8')
    expect(told.headers['cache-control']).toBe('no-store')
    expect('retry-after' in told.headers).toBe(status === 503)
  })

  test('of a short proxy a third of its life is enough', async () => {
    const short = { ...proxy, obtainedAt: new Date(proxy.notAfter.getTime() - 43_200_000) }
    for (const [left, status] of [
      [14_400, 200],
      [14_399, 503],
    ] as const) {
      const { engine, server } = await start(standInEngine(), { now: at(left) })
      engine.put(short)
      expect([left, (await server.ask('/health')).status]).toEqual([left, status])
    }
  })

  test('says what is being waited for, and why', async () => {
    const { engine, server } = await start()
    engine.renewal = { renewing: true }
    expect((await server.ask('/health')).text).toBe(
      'There is no valid proxy gwms_proxy yet; it is being requested.\n',
    )
    const lastError = {
      at: new Date(),
      code: 'x',
      message: 'the token is refused',
      remedy: undefined,
    }
    engine.renewal = { lastError }
    const { status, text } = await server.ask('/health')
    expect({ status, text }).toEqual({
      status: 503,
      text: 'There is no valid proxy gwms_proxy: the token is refused.\n',
    })
  })

  test('a failing renewal alone is no reason: the proxy is good', async () => {
    const { engine, server } = await warm()
    engine.renewal = { lastError: { at: new Date(), code: 'x', message: 'm', remedy: undefined } }
    expect((await server.ask('/health')).status).toBe(200)
  })

  test('one of several that is missing makes it ill', async () => {
    const { engine, server } = await start(standInEngine(['gwms_proxy', 'limited']))
    engine.put(proxy)
    const { status, text } = await server.ask('/health')
    expect({ status, text }).toEqual({ status: 503, text: 'There is no valid proxy limited.\n' })
  })
})

describe('/metrics', () => {
  test('tells what is left, and nothing secret', async () => {
    const now = new Date(proxy.obtainedAt.getTime() + 1000)
    const { engine, server } = await warm({ now: () => now })
    engine.source = { ...engine.source, renewsUntil: new Date(now.getTime() + 86_400_000) }
    await server.ask('/get_proxy')
    await server.ask('/no/such/path?with=query')
    await server.ask('/get_proxy/no-such-name')
    // Asking twice counts nothing twice.
    await server.ask('/metrics')
    const { status, headers, text } = await server.ask('/metrics')
    expect(status).toBe(200)
    expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/)
    const expiry = proxy.notAfter.getTime() / 1000
    for (const line of [
      `certcache_proxy_expiry_timestamp_seconds{proxy="gwms_proxy"} ${expiry}`,
      `certcache_last_success_timestamp_seconds{proxy="gwms_proxy"} ${proxy.obtainedAt.getTime() / 1000}`,
      'certcache_renewals_total{proxy="gwms_proxy",result="succeeded"} 1',
      'certcache_renewals_total{proxy="gwms_proxy",result="failed"} 0',
      'certcache_renewal_failing{proxy="gwms_proxy"} 0',
      `certcache_renewal_end_timestamp_seconds ${now.getTime() / 1000 + 86_400}`,
      'certcache_renewal_ended 0',
      'certcache_source_info{kind="delegation"} 1',
      'certcache_http_requests_total{path="/get_proxy",status="200"} 1',
      'certcache_http_requests_total{path="/get_proxy",status="404"} 1',
      'certcache_http_requests_total{path="other",status="404"} 1',
      'certcache_refused_total{reason="foreign_host"} 0',
    ])
      expect(text.split('\n')).toContain(line)
    const endEntity =
      /certcache_end_entity_expiry_timestamp_seconds\{proxy="gwms_proxy"\} (\d+)/.exec(text)
    expect(Number(endEntity?.[1])).toBeGreaterThan(now.getTime() / 1000 + 10 * 86_400)
    expect(text).not.toMatch(/BEGIN|CN=|such|query/)
  })

  test('with nothing in hand', async () => {
    const { engine, server } = await start()
    engine.source = { ...engine.source, kind: 'none', ended: 'revoked' }
    const lines = (await server.ask('/metrics')).text.split('\n')
    expect(lines).toContain('certcache_proxy_expiry_timestamp_seconds{proxy="gwms_proxy"} 0')
    expect(lines).toContain('certcache_renewal_ended 1')
    expect(lines.filter((line) => line.startsWith('certcache_end_entity'))).toEqual([])
  })
})

describe('/status', () => {
  test('tells all but the key', async () => {
    const now = new Date(proxy.obtainedAt.getTime() + 1000)
    const { engine, server } = await warm({ now: () => now })
    const lastError = {
      at: now,
      code: 'provider_unavailable',
      message: 'the identity provider is down',
      remedy: 'wait',
    }
    engine.renewal = { lastError, nextAttemptAt: new Date(now.getTime() + 60_000) }
    const { status, headers, text } = await server.ask('/status')
    expect({ status, type: headers['content-type'] }).toEqual({
      status: 200,
      type: 'application/json',
    })
    expect(text).not.toMatch(/PRIVATE|BEGIN/)
    expect(JSON.parse(text)).toEqual({
      condition: 'warning',
      reasons: ['Renewal of gwms_proxy fails: the identity provider is down.'],
      version: '0.0.0-test',
      started_at: now.toISOString(),
      access: { mode: 'local' },
      source: {
        kind: 'delegation',
        delegation_id: 'd-1',
        renews_until: null,
        advice: 'It renews until its refresh token ends.',
        ended: null,
      },
      proxies: [
        {
          name: 'gwms_proxy',
          subject: proxy.subject,
          identity: proxy.identity,
          obtained_at: proxy.obtainedAt.toISOString(),
          not_after: proxy.notAfter.toISOString(),
          seconds_left: Math.round((proxy.notAfter.getTime() - now.getTime()) / 1000),
          renewing: false,
          next_attempt_at: new Date(now.getTime() + 60_000).toISOString(),
          last_success_at: proxy.obtainedAt.toISOString(),
          last_error: {
            at: now.toISOString(),
            code: 'provider_unavailable',
            message: 'the identity provider is down',
            remedy: 'wait',
          },
          attempts: { succeeded: 1, failed: 0 },
        },
      ],
    })
  })
})

describe('other requests', () => {
  test.for([
    { method: 'POST', path: '/get_proxy', body: 'x'.repeat(10_000), status: 405 },
    { method: 'DELETE', path: '/get_proxy', status: 405 },
    { method: 'PUT', path: '/status', body: 'x', status: 405 },
    { method: 'OPTIONS', path: '/health', status: 405 },
    { method: 'POST', path: '/cgi-bin/get_proxy/gwms_proxy', status: 405 },
    { method: 'GET', path: '/', status: 404 },
    { method: 'GET', path: '/get_dn_map', status: 404 },
    { method: 'GET', path: '/get_proxy/../status', status: 404 },
    { method: 'GET', path: '/get_proxy/a/b', status: 404 },
    { method: 'GET', path: '/get_proxy/%2e%2e', status: 404 },
    { method: 'GET', path: '/GET_PROXY', status: 404 },
    { method: 'GET', path: 'http://127.0.0.1/get_proxy', status: 404 },
    { method: 'GET', path: '/get_proxy', body: 'a body', status: 413 },
  ])('$method $path is answered $status', async ({ method, path, body, status }) => {
    const { server } = await warm()
    const told = await server.ask(path, {
      method,
      ...(body === undefined ? {} : { body, headers: { 'Content-Length': String(body.length) } }),
    })
    expect(told.status).toBe(status)
    expect(told.headers['content-type']).toBe('text/plain; charset=utf-8')
    expect(told.text).toMatch(/^[A-Z].*\.\n$/)
    expect(told.headers['allow']).toBe(status === 405 ? 'GET, HEAD' : undefined)
    // What follows a body is not taken for a request.
    expect(told.headers.connection).toBe(body === undefined ? 'keep-alive' : 'close')
  })

  /** What a client that writes this is sent until the connection ends. */
  async function raw(server: TestServer, text: string): Promise<string> {
    const socket = connect(server.port, '127.0.0.1')
    socket.on('error', () => undefined)
    let told = ''
    socket.setEncoding('latin1').on('data', (chunk: string) => (told += chunk))
    socket.write(text)
    await once(socket, 'close')
    return told
  }

  test.for([
    {
      name: 'headers of 20 KiB',
      text: `GET /get_proxy HTTP/1.1\r\nHost: localhost\r\nA: ${'x'.repeat(20_000)}\r\n\r\n`,
      status: 431,
    },
    { name: 'no Host', text: 'GET /get_proxy HTTP/1.1\r\n\r\n', status: 400 },
    {
      name: 'two bodies',
      text: 'GET /get_proxy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      status: 400,
    },
    { name: 'no HTTP', text: '\x16\x03\x01\x00\r\n\r\n', status: 400 },
    {
      name: 'a chunked body',
      text: 'GET /get_proxy HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n',
      status: 413,
    },
    {
      name: 'a body to be confirmed',
      text: 'POST /get_proxy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n',
      status: 405,
    },
  ])('$name: $status, and the connection ends', async ({ text, status }) => {
    const { server } = await warm()
    expect(await raw(server, text)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
  })

  test('many on one connection, sent at once, are answered in order', async () => {
    const { engine, server } = await start()
    const head = (path: string, more = ''): string =>
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`
    const told = raw(
      server,
      head('/get_proxy') + head('/health') + head('/x', 'Connection: close\r\n'),
    )
    await until(() => engine.obtained.count === 1)
    engine.put(proxy)
    const statuses = [...(await told).matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status)
    // /health was asked before the proxy was there.
    expect(statuses).toEqual(['200', '503', '404'])
  })
})

describe('stop', () => {
  test('who waits gets the proxy that still comes; then nobody is let in', async () => {
    const { engine, server } = await start()
    const agent = new Agent({ keepAlive: true })
    const waiting = Promise.all([1, 2].map(async () => server.ask('/get_proxy', { agent })))
    await until(() => engine.obtained.count === 1)
    // Longer than a test may take: connections on which nothing happens are not waited for.
    const closed = server.close(3_600_000)
    engine.put(proxy)
    for (const { status, headers } of await waiting)
      expect({ status, connection: headers.connection }).toEqual({
        status: 200,
        connection: 'close',
      })
    await closed
    await expect(server.ask('/get_proxy')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    agent.destroy()
  })

  test('who waits in vain is told before the connections are cut', async () => {
    const { engine, server } = await start()
    const waiting = server.ask('/get_proxy')
    await until(() => engine.obtained.count === 1)
    const closed = server.close(100)
    const { status, text } = await waiting
    expect({ status, text }).toEqual({
      status: 503,
      text: 'No valid proxy is available: this certcache is shutting down.\n',
    })
    await closed
  })
})

describe('a Unix socket', () => {
  test.for([
    { mode: undefined, bits: 0o600 },
    { mode: '0660', bits: 0o660 },
  ] as const)('mode $mode', async ({ mode, bits }) => {
    const { statSync } = await import('node:fs')
    const socket = join(directory, `socket-${bits}`)
    const settings = { ...serverSettings({ listen: { socket } }) }
    const listen = { ...settings.listen, ...(mode && { socket_mode: mode }) }
    const { engine, server } = await start(standInEngine(), { settings: { ...settings, listen } })
    engine.put(proxy)
    expect(server.url).toBe(`unix:${socket}`)
    expect(statSync(socket).mode & 0o777).toBe(bits)
    // Whatever name it is asked by: no browser comes here.
    const told = await ask(server.url, '/get_proxy', { headers: { Host: 'tts.example.org' } })
    expect({ status: told.status, whole: told.body.equals(proxy.pem) }).toEqual({
      status: 200,
      whole: true,
    })
    const words = ['-s', '--unix-socket', socket, 'http://localhost/cgi-bin/get_proxy']
    expect((await run('curl', words)).stdout).toBe(proxy.pem.toString())
    await expect(testServer(engine, { settings: { ...settings, listen } })).rejects.toMatchObject({
      code: 'configuration',
      message: `cannot listen on ${socket}: another program listens there`,
    })
  })

  test('what a killed one left is taken over; another file is left alone', async () => {
    const { writeFileSync } = await import('node:fs')
    const socket = join(directory, 'left')
    const script = `require('net').createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, 'SIGKILL'))`
    await run(process.execPath, ['-e', script]).catch(() => undefined)
    const settings = serverSettings({ listen: { socket } })
    const { engine, server } = await start(standInEngine(), { settings })
    engine.put(proxy)
    expect((await ask(server.url, '/get_proxy')).status).toBe(200)

    const file = join(directory, 'a-file')
    writeFileSync(file, 'mine')
    await expect(
      testServer(engine, { settings: serverSettings({ listen: { socket: file } }) }),
    ).rejects.toMatchObject({ code: 'configuration' })
    expect(readFileSync(file, 'utf8')).toBe('mine')
  })
})

import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { useTestService } from '../support/service.ts'
import { builtCsr } from './csr-cases.ts'
import { ask, proxyJson, quick } from './support.ts'

const service = useTestService(quick)
const RUNS = 250

interface Sent {
  readonly query: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

async function send(path: string, { query, headers, body }: Sent): Promise<number> {
  const { hostname, port } = new URL(service().url)
  return new Promise((resolve, reject) => {
    const sent = httpRequest({
      hostname,
      port,
      path: `${path}${query}`,
      method: 'POST',
      headers: { authorization: `Bearer ${service().token()}`, ...headers },
    })
    sent.once('error', reject)
    sent.once('response', (response) => {
      response.resume()
      response.once('end', () => resolve(response.statusCode ?? 0))
    })
    sent.end(body)
  })
}

const name = fc.oneof(
  fc.constantFrom(
    'lifetime_seconds',
    'proxy_type',
    'path_length',
    'key_type',
    'key_format',
    'csr',
    'service',
    'access_token',
    '__proto__',
    'constructor',
    'toString',
  ),
  fc.string({ maxLength: 12 }),
)
const value = fc.oneof(
  fc.constantFrom('60', '3600', 'ec-p256', 'limited', 'proxy', 'x509', '0', '-1', '1e99', ''),
  fc.string({ maxLength: 20 }),
)
const json = fc.oneof(
  fc.json({ maxDepth: 4 }),
  fc
    .dictionary(name, fc.oneof(value, fc.jsonValue({ maxDepth: 2 })))
    .map((object) => JSON.stringify(object)),
)
const form = fc
  .array(fc.tuple(name, value), { maxLength: 5 })
  .map((pairs) => new URLSearchParams(pairs).toString())
const sound = builtCsr()
/** A sound CSR with some bytes changed, cut or put in. */
const spoiltCsr = fc
  .array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
  .chain((changes) =>
    fc.nat(sound.length).map((length) => {
      const bytes = Buffer.from(sound)
      for (const [place, byte] of changes) bytes[place] = byte
      return length % 3 === 0 ? bytes.subarray(0, length) : bytes
    }),
  )
const body = fc.oneof(
  fc.constant(Buffer.alloc(0)),
  json.map((text) => Buffer.from(text)),
  form.map((text) => Buffer.from(text)),
  spoiltCsr,
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc
    .string({ maxLength: 200 })
    .map((text) => Buffer.from(`-----BEGIN CERTIFICATE REQUEST-----\n${text}`)),
)
const visible = fc.stringMatching(/^[\x20-\x7e\x80-\xff]{0,40}$/)
const headers = fc.record(
  {
    'content-type': fc.oneof(
      fc.constantFrom(
        'application/json',
        'application/x-www-form-urlencoded',
        'application/pkcs10',
      ),
      visible,
    ),
    accept: fc.oneof(fc.constantFrom('*/*', 'application/json'), visible),
    'x-request-id': visible,
    'content-encoding': fc.constantFrom('identity', 'gzip', 'br', 'x'),
    'x-forwarded-for': visible,
    cookie: visible,
    range: visible,
    'if-none-match': visible,
  },
  { requiredKeys: ['content-type'] },
)
const query = fc.oneof(
  fc.constant(''),
  form.map((text) => `?${text}`),
  fc.stringMatching(/^\?[!-~]{0,60}$/),
)

test('whatever is sent, it is never a 500 and the service lives', async () => {
  const statuses = new Map<number, number>()
  await fc.assert(
    fc.asyncProperty(
      fc.record({ query, headers, body }),
      fc.constantFrom('/v1/proxies', '/v1/certificates'),
      async (sent, path) => {
        // Keys of RSA are made slowly, and are not what is looked for here.
        fc.pre(!(sent.body.length === 0 && !sent.query.includes('=')))
        const status = await send(path, sent)
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        expect([200, 400, 401, 403, 404, 406, 413, 415]).toContain(status)
      },
    ),
    { numRuns: RUNS },
  )
  expect(statuses.get(400)).toBeGreaterThan(RUNS / 10)
  expect((await proxyJson(service())).id).toBeTruthy()
})

test('whatever bytes come instead of HTTP, the service lives', async () => {
  const { hostname, port } = new URL(service().url)
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((raw) => Buffer.from(raw)),
    fc
      .string({ maxLength: 80 })
      .map((text) => Buffer.from(`POST /v1/proxies HTTP/1.1\r\n${text}\r\n\r\n`)),
    fc
      .string({ maxLength: 80 })
      .map((text) => Buffer.from(`GET ${text} HTTP/1.1\r\nHost: x\r\n\r\n`)),
    fc.constant(
      Buffer.from(
        'POST /v1/proxies HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      ),
    ),
    fc.constant(Buffer.from('POST /v1/proxies HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n')),
  )
  await fc.assert(
    fc.asyncProperty(bytes, async (raw) => {
      const answer = await new Promise<string>((resolve) => {
        const socket = connect(Number(port), hostname)
        let text = ''
        socket.on('data', (part) => {
          text += part.toString('latin1')
        })
        socket.once('error', () => resolve(text))
        socket.once('close', () => resolve(text))
        socket.end(raw)
      })
      expect(answer === '' || /^HTTP\/1\.1 (200|4\d\d) /.test(answer), answer.slice(0, 40)).toBe(
        true,
      )
      expect(answer).not.toMatch(/at .*\.ts:\d/)
    }),
    { numRuns: 150 },
  )
  expect((await ask(service(), '/healthz', { method: 'GET' })).status).toBe(200)
})

test('nothing of all this was an internal error, and the log is sound', () => {
  for (const line of service().logged) {
    const { event } = JSON.parse(line) as { event?: string }
    expect(event).not.toBe('request.failed')
  }
})

/** What happens on the wire before a route is reached: bodies, expectations, targets, and messages that are no HTTP. */
import { connect, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ask, proxyJson, quick, soundCsr } from '../api/support.ts'
import { startTestService, type TestService, useTestService } from '../support/service.ts'

const base = quick.configuration as Record<string, Record<string, unknown>>
const service = useTestService(quick)

/** Another service, for one test. */
async function withLimits(limits: Record<string, number>): Promise<TestService> {
  const configuration = { ...base, limits: { ...base['limits'], ...limits } }
  const started = await startTestService({ configuration })
  onTestFinished(() => started.stop())
  return started
}

interface Conversation {
  write(text: string | Buffer): void
  /** Everything that came until it matches; throws when the connection ends before. */
  until(pattern: RegExp): Promise<string>
  /** Everything that came, once the connection has ended. */
  readonly ended: Promise<string>
  /** Sends what is left and closes the connection, whatever the service still expects. */
  cut(): void
}

/** A connection on which the test writes what it likes. */
function converse(url: string): Conversation {
  const { hostname, port } = new URL(url)
  const socket: Socket = connect({ host: hostname, port: Number(port) })
  onTestFinished(() => void socket.destroy())
  let text = ''
  const listeners = new Set<() => void>()
  const changed = (): void => {
    for (const listener of listeners) listener()
  }
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part
    changed()
  })
  let isOver = false
  const ended = new Promise<string>((resolve, reject) => {
    socket.once('error', reject)
    socket.once('close', () => {
      isOver = true
      changed()
      resolve(text)
    })
  })
  ended.catch(() => undefined)
  return {
    write: (part) => void socket.write(part),
    until: async (pattern) => {
      while (!pattern.test(text)) {
        if (isOver) throw new Error(`the connection ended after: ${text}`)
        await new Promise<void>((resolve) => {
          const listener = (): void => {
            listeners.delete(listener)
            resolve()
          }
          listeners.add(listener)
        })
      }
      return text
    },
    ended,
    cut: () => socket.destroySoon(),
  }
}

function head(lines: readonly string[], path = '/v1/proxies'): string {
  return [`POST ${path} HTTP/1.1`, 'Host: tts.test', ...lines, '', ''].join('\r\n')
}
const authorization = (token = service().token()): string => `Authorization: Bearer ${token}`
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`

describe('the body is not read before the caller is known', () => {
  test('Expect: 100-continue: 401 without a 100 for who has no token, and the connection ends', async () => {
    const client = converse(service().url)
    client.write(head(['Content-Length: 1000', 'Expect: 100-continue']))
    const text = await client.ended
    expect(text).toMatch(/^HTTP\/1\.1 401 /)
    expect(text).toMatch(/\r\nConnection: close\r\n/)
  })

  test('Expect: 100-continue: 100 for who may go on, then the proxy', async () => {
    const csr = await soundCsr()
    const client = converse(service().url)
    const length = `Content-Length: ${csr.length}`
    client.write(head([authorization(), length, 'Expect: 100-continue']))
    expect(await client.until(/\r\n\r\n/)).toBe('HTTP/1.1 100 Continue\r\n\r\n')
    client.write(csr)
    expect(await client.until(/END CERTIFICATE/)).toMatch(/HTTP\/1\.1 200 OK/)
  })

  test.for([
    '/v1/proxies',
    '/v1/certificates',
    '/v1/delegations',
    '/api/v2/iam/credential',
    '/download',
    '/services/proxy',
    '/logout',
  ])('%s: refused while the body is still on its way', async (path) => {
    const client = converse(service().url)
    const form = 'Content-Type: application/x-www-form-urlencoded'
    client.write(head(['Transfer-Encoding: chunked', form], path) + chunk('x'))
    // Never finished: an answer shows that nobody waits for it.
    expect(await client.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 40[13] /)
  })

  test('a client that reads only after it has sent all of a large body gets its answer', async () => {
    const { hostname, port } = new URL(service().url)
    const socket = connect({ host: hostname, port: Number(port) })
    onTestFinished(() => void socket.destroy())
    const broken = new Promise<never>((_resolve, reject) => socket.once('error', reject))
    broken.catch(() => undefined)
    socket.pause()
    socket.write(head(['Content-Length: 4000000']))
    // In parts with a pause after each: the service has answered long before the last one.
    for (let part = 0; part < 8; part += 1) {
      socket.write(Buffer.alloc(500_000, 'x'))
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    socket.resume()
    const answered = new Promise<Buffer>((resolve) => socket.once('data', resolve))
    const text = (await Promise.race([answered, broken])).toString('latin1')
    expect(text).toMatch(/^HTTP\/1\.1 401 /)
  })
})

describe('bodies that are read', () => {
  test('what arrives with the headers, in many chunks, is whole', async () => {
    const csr = await soundCsr()
    const client = converse(service().url)
    const body = [...csr].map((letter, index) => (index < 200 ? chunk(letter) : '')).join('')
    client.write(
      `${head([authorization(), 'Transfer-Encoding: chunked'])}${body}${chunk(csr.slice(200))}0\r\n\r\n`,
    )
    expect(await client.until(/END CERTIFICATE/)).toMatch(/^HTTP\/1\.1 200 OK/)
  })

  test('a connection is kept after a body that was read, and serves the next request', async () => {
    const csr = await soundCsr()
    const request = `${head([authorization(), `Content-Length: ${csr.length}`])}${csr}`
    const client = converse(service().url)
    client.write(request)
    await client.until(/END CERTIFICATE[^]*END CERTIFICATE/)
    client.write(request)
    const text = await client.until(/(HTTP\/1\.1 200 OK[^]*){2}/)
    expect(text).not.toMatch(/Connection: close/)
  })

  test('in too many small pieces: 400', async () => {
    const client = converse(service().url)
    client.write(head([authorization(), 'Transfer-Encoding: chunked', 'Expect: 100-continue']))
    await client.until(/100 Continue/)
    client.write(chunk('x').repeat(2000))
    expect(await client.until(/request_id/)).toMatch(
      /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 400 [^]*"check":"body_pieces"/,
    )
  })

  test('too slowly: 408, and the connection ends', async () => {
    const one = await withLimits({ body_timeout_seconds: 1 })
    const client = converse(one.url)
    client.write(`${head([authorization(one.token()), 'Content-Length: 100'])}half`)
    const text = await client.ended
    expect(text).toMatch(/^HTTP\/1\.1 408 /)
    expect(text).toMatch(/"code":"request_timeout","check":"body_time"/)
  })

  test('compressed: 415', async () => {
    const client = converse(service().url)
    client.write(`${head([authorization(), 'Content-Length: 4', 'Content-Encoding: gzip'])}half`)
    expect(await client.until(/request_id/)).toMatch(/^HTTP\/1\.1 415 /)
  })

  test.for([
    { name: 'Content-Length', lines: ['Content-Length: 70000'], body: '' },
    { name: 'chunks', lines: ['Transfer-Encoding: chunked'], body: chunk('x'.repeat(70_000)) },
  ])('too large by $name: 413', async ({ lines, body }) => {
    const client = converse(service().url)
    client.write(`${head([authorization(), ...lines])}${body}`)
    expect(await client.until(/request_id/)).toMatch(/^HTTP\/1\.1 413 [^]*"check":"body_bytes"/)
  })

  test('cut off: nothing is issued', async () => {
    const csr = await soundCsr()
    const before = await issuedCount()
    const client = converse(service().url)
    const length = `Content-Length: ${csr.length + 1}`
    client.write(head([authorization(), length, 'Expect: 100-continue']))
    await client.until(/100 Continue/)
    client.write(csr)
    client.cut()
    await expect.poll(() => service().running.service.inFlight.count).toBe(0)
    expect(await issuedCount()).toBe(before)
  })
})

async function issuedCount(): Promise<number> {
  const { store } = service().running.service
  return (await store.listAudit({ limit: 1000 })).filter(
    ({ event }) => event === 'credential.issued',
  ).length
}

describe('every answer has our headers and a line in the log', () => {
  test.for([
    {
      name: 'a target that is no URL',
      first: 'GET http://[::1 HTTP/1.1',
      status: 400,
      code: 'invalid_request',
    },
    {
      name: 'a target of another scheme',
      first: 'GET ftp://tts.test/x HTTP/1.1',
      status: 400,
      code: 'invalid_request',
    },
    {
      name: 'a target without a slash',
      first: 'GET healthz HTTP/1.1',
      status: 400,
      code: 'invalid_request',
    },
    {
      name: 'another expectation',
      first: 'GET /ca/ca.pem HTTP/1.1\r\nExpect: a miracle',
      status: 417,
      code: 'expectation_failed',
    },
    {
      name: 'a path that is no encoding',
      first: 'GET /v1/credentials/%ff HTTP/1.1',
      status: 400,
      code: 'invalid_request',
    },
  ])('$name: $status', async ({ first, status, code }) => {
    const client = converse(service().url)
    client.write(`${first}\r\nHost: tts.test\r\nConnection: close\r\n\r\n`)
    const text = await client.ended
    expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    expect(text).toMatch(/\r\nX-Content-Type-Options: nosniff\r\n/i)
    expect(text).toContain(`"code":"${code}"`)
    const [, id = ''] = /X-Request-Id: (\S+)/.exec(text) ?? []
    expect(
      service().logged.some((line) => line.includes('http.request') && line.includes(id)),
    ).toBe(true)
  })

  test('an absolute target is the path in it', async () => {
    const client = converse(service().url)
    client.write(
      'GET http://tts.test/healthz HTTP/1.1\r\nHost: tts.test\r\nConnection: close\r\n\r\n',
    )
    expect(await client.ended).toMatch(/^HTTP\/1\.1 200 OK[^]*\{"status":"ok"\}$/)
  })

  test.for([
    { name: 'no HTTP', text: 'hello\r\n\r\n', status: 400 },
    {
      name: 'a header of 40 KiB',
      text: `GET / HTTP/1.1\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`,
      status: 431,
    },
    {
      name: 'two lengths',
      text: 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      status: 400,
    },
    {
      name: 'a length and chunks',
      text: 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      status: 400,
    },
  ])('$name: $status as problem details, and one line a minute', async ({ text, status }) => {
    for (let round = 0; round < 3; round += 1) {
      const client = converse(service().url)
      client.write(text)
      const answer = await client.ended
      expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
      expect(answer).toMatch(/Content-Type: application\/problem\+json[^]*"check":"http"/)
    }
    const lines = service().logged.filter((line) => line.includes('http.malformed'))
    const codes = lines.map((line) => (JSON.parse(line) as { code: string }).code)
    expect(new Set(codes).size).toBe(codes.length)
  })
})

describe('shares', () => {
  test('one identity has a part of the requests; another one goes on', async () => {
    const one = await withLimits({ requests_in_flight: 8, identity_share: 0.25, address_share: 1 })
    const token = one.token('alice', { sub: 'somebody slow' })
    const slow = ['a', 'b'].map(() => converse(one.url))
    for (const client of slow)
      client.write(
        head([`Authorization: Bearer ${token}`, 'Content-Length: 9', 'Expect: 100-continue']),
      )
    for (const client of slow) await client.until(/100 Continue/)
    const response = await ask(one, '/v1/proxies?key_type=ec-p256', { token })
    expect([response.status, ((await response.json()) as { check: string }).check]).toEqual([
      429,
      'identity_in_flight',
    ])
    expect((await proxyJson(one)).id).toBeTruthy()
  })

  test('all places taken: /readyz says so', async () => {
    const one = await withLimits({ requests_in_flight: 2, identity_share: 1, address_share: 1 })
    const slow = ['a', 'b'].map(() => converse(one.url))
    for (const client of slow)
      client.write(head([authorization(one.token()), 'Content-Length: 9', 'Expect: 100-continue']))
    for (const client of slow) await client.until(/100 Continue/)
    const readyz = await ask(one, '/readyz', { method: 'GET' })
    expect([readyz.status, await readyz.json()]).toMatchObject([
      503,
      { ready: false, saturated: true },
    ])
  })

  test('connections without a request make room, the oldest first', async () => {
    const one = await withLimits({ connections: 12, address_share: 0.25 })
    const idle = [converse(one.url), converse(one.url), converse(one.url)]
    await expect.poll(() => one.running.service.inFlight.count).toBe(0)
    await Promise.all(idle.map(async (client) => client.write('GET /healthz HTTP/1.1\r\n')))
    const client = converse(one.url)
    client.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(await client.until(/"ok"/)).toMatch(/^HTTP\/1\.1 200 /)
    expect(await idle[0]?.ended).toBe('')
  })
})

import { describe, expect, onTestFinished, test } from 'vitest'
import {
  startTestService,
  testConfiguration,
  type TestService,
  type TestServiceOptions,
  useTestService,
} from '../support/service.ts'
import { ask, problemOf, proxyJson, quick, rawRequest, wideLimits } from './support.ts'

const base = quick.configuration as Record<string, Record<string, unknown>>

const plain = useTestService(quick)

async function serviceWith(
  limits: Record<string, number>,
  more: Record<string, Record<string, unknown>> = {},
  options: TestServiceOptions = {},
): Promise<TestService> {
  const configuration = { ...base, ...more, limits: { ...wideLimits, ...limits } }
  const service = await startTestService({ ...options, configuration })
  onTestFinished(async () => service.stop())
  return service
}

describe('rates', () => {
  test('per address: 429 with Retry-After; probes are answered all the same', async () => {
    const service = await serviceWith({
      requests_per_second_per_address: 0.1,
      burst_per_address: 3,
    })
    const statuses: number[] = []
    for (let round = 0; round < 5; round += 1) {
      const response = await ask(service, '/ca/ca.pem', { method: 'GET', token: undefined })
      statuses.push(response.status)
      if (response.status === 200) continue
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(Number(response.headers.get('retry-after'))).toBeLessThanOrEqual(10)
      expect(await problemOf(response)).toMatchObject({
        status: 429,
        code: 'limit_reached',
        check: 'address_rate',
      })
    }
    expect(statuses).toEqual([200, 200, 200, 429, 429])
    for (const path of ['/healthz', '/readyz', '/metrics'])
      expect((await ask(service, path, { method: 'GET' })).status).toBe(200)
  })

  test('per identity: 429 with Retry-After, another identity goes on', async () => {
    const service = await serviceWith({
      credentials_per_second_per_identity: 0.1,
      burst_per_identity: 2,
    })
    const other = service.token('alice', { sub: 'someone-else' })
    await proxyJson(service)
    // Another token of the same identity makes no difference.
    await proxyJson(service, { token: service.token() })
    const response = await ask(service, '/v1/proxies')
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await problemOf(response)).toMatchObject({
      status: 429,
      code: 'limit_reached',
      check: 'identity_rate',
    })
    await proxyJson(service, { token: other })
  })

  test('who is not let in does not use up the rate of anybody', async () => {
    const service = await serviceWith({
      credentials_per_second_per_identity: 0.1,
      burst_per_identity: 1,
    })
    const { sub } = service.provider.user('alice')
    for (let round = 0; round < 3; round += 1)
      expect(
        (await ask(service, '/v1/proxies', { token: service.token('bob', { sub }) })).status,
      ).toBe(403)
    await proxyJson(service)
  })
})

describe('bounds', () => {
  test('requests under way: 503 at once beyond, and room again afterwards', async () => {
    const service = await serviceWith({
      requests_in_flight: 4,
      key_queue: 100,
      address_share: 1,
      identity_share: 1,
    })
    const answers = await Promise.all(
      Array.from({ length: 12 }, async () => ask(service, '/v1/proxies?key_type=rsa-2048')),
    )
    const refused = answers.filter((response) => response.status === 503)
    expect(answers.filter((response) => response.status === 200).length).toBeGreaterThanOrEqual(4)
    expect(refused.length).toBeGreaterThan(0)
    for (const response of refused) {
      expect(response.headers.get('retry-after')).toBe('1')
      expect(await problemOf(response)).toMatchObject({ code: 'overloaded', check: 'in_flight' })
    }
    await proxyJson(service)
  })

  test('callers waiting for a key: 503 beyond the queue; with a CSR one goes on', async () => {
    const service = await serviceWith({ key_queue: 1 })
    await proxyJson(service)
    const asked = Array.from({ length: 10 }, async (_none, index) =>
      // Such a key takes so long that all ask before the first one is made.
      ask(service, '/v1/proxies?key_type=rsa-4096', {
        token: service.token('alice', { sub: `user ${index}` }),
      }),
    )
    const withCsr = await proxyJson(service)
    expect(withCsr.id).toBeTruthy()
    const answers = await Promise.all(asked)
    const refused = answers.filter((response) => response.status === 503)
    expect(refused.length).toBeGreaterThanOrEqual(5)
    expect(answers.filter((response) => response.status === 200).length).toBeGreaterThanOrEqual(2)
    for (const response of refused) {
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(await problemOf(response)).toMatchObject({ code: 'overloaded', check: 'key_queue' })
    }
  })

  test('callers of one identity waiting for a key: 429 beyond its share; another one gets a key', async () => {
    const service = await serviceWith({ key_queue: 16, identity_share: 0.125 })
    const asked = Array.from({ length: 10 }, async () => ask(service, '/v1/proxies'))
    const other = service.token('alice', { sub: 'somebody else' })
    expect((await ask(service, '/v1/proxies', { token: other })).status).toBe(200)
    const refused = (await Promise.all(asked)).filter((response) => response.status !== 200)
    expect(refused.length).toBeGreaterThanOrEqual(5)
    for (const response of refused) {
      expect(await problemOf(response)).toMatchObject({
        status: 429,
        code: 'limit_reached',
        check: 'identity_keys',
      })
    }
  })

  test('the deadline of a request holds though keys take longer: 503', async () => {
    const service = await serviceWith({ request_timeout_seconds: 1, key_queue: 100 })
    const answers = await Promise.all(
      Array.from({ length: 8 }, async () => ask(service, '/v1/proxies?key_type=rsa-4096')),
    )
    const late = answers.filter((response) => response.status === 503)
    expect(late.length).toBeGreaterThan(0)
    for (const response of late)
      expect(await problemOf(response)).toMatchObject({ code: 'overloaded', check: 'deadline' })
  })

  test('a provider that hangs does not hang us: 503 at the deadline, and it says who', async () => {
    const service = await startTestService({
      awaitReady: false,
      configuration: (provider) => {
        provider.faults.set('*', { kind: 'hang' })
        const { iam } = testConfiguration(provider)['providers'] as { iam: object }
        const providers = { iam: { ...iam, timeout_seconds: 60 } }
        return { ...base, providers, limits: { ...wideLimits, request_timeout_seconds: 1 } }
      },
    })
    onTestFinished(async () => service.stop())
    const response = await ask(service, '/v1/proxies')
    // We still wait for the provider: it was the request's deadline that passed.
    expect(service.running.service.verifier.status()[0]?.lastError).toBeUndefined()
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await problemOf(response)).toMatchObject({
      status: 503,
      code: 'provider_unavailable',
      check: 'provider',
    })
  })

  test.for([
    { name: '20 KiB of headers: the reason', size: 20_000, status: 401 },
    { name: '40 KiB of headers: 431 before anything looks at them', size: 40_000, status: 431 },
  ])('$name', async ({ size, status }) => {
    const answer = await rawRequest(`${plain().url}/v1/proxies`, {
      headers: { authorization: `Bearer ${'a'.repeat(size)}`, 'content-length': '0' },
    })
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.text)).toMatchObject({
      check: status === 401 ? 'size' : 'http',
      detail:
        status === 401
          ? 'the access token has 20000 bytes; this service accepts at most 16384'
          : 'the request headers are too long, probably because the access token is',
    })
  })

  test('limits.token_bytes admits a longer token', async () => {
    const service = await serviceWith({ token_bytes: 40_000 })
    const token = service.token('alice', { entitlements: 'e'.repeat(20_000) })
    expect(token.length).toBeGreaterThan(25_000)
    expect((await ask(service, '/v1/proxies?key_type=ec-p256', { token })).status).toBe(200)
    const longer = await ask(service, '/v1/proxies', { token: token.padEnd(40_001, 'a') })
    expect(await problemOf(longer)).toMatchObject({
      status: 401,
      check: 'size',
      detail: 'the access token has 40001 bytes; this service accepts at most 40000',
    })
    expect((await ask(service, '/v1/proxies', { token: 'a'.repeat(57_000) })).status).toBe(431)
  })
})

describe('X-Forwarded-For', () => {
  const forwarded = { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-proto': 'https' }
  async function addressOnRecord(service: TestService, header: string): Promise<string> {
    const response = await ask(service, '/v1/proxies?key_type=ec-p256', {
      headers: { 'x-forwarded-for': header },
    })
    expect(response.status).toBe(200)
    const id = response.headers.get('tts-credential-id') ?? ''
    return (await service.running.service.store.findCredential(id))?.origin.address ?? ''
  }

  test('is not believed from just anybody', async () => {
    expect(await addressOnRecord(plain(), forwarded['x-forwarded-for'])).toBe('127.0.0.1')
  })

  test('is believed from a declared proxy, as far as it can be', async () => {
    const service = await serviceWith(
      {},
      { listen: { port: 0, trusted_proxies: ['127.0.0.0/8', '10.0.0.0/8'] } },
    )
    expect(await addressOnRecord(service, '203.0.113.9')).toBe('203.0.113.9')
    expect(await addressOnRecord(service, '198.51.100.1, 203.0.113.9')).toBe('203.0.113.9')
    expect(await addressOnRecord(service, '203.0.113.9, 10.1.2.3')).toBe('203.0.113.9')
    expect(await addressOnRecord(service, '2001:db8::7')).toBe('2001:db8::7')
    expect(await addressOnRecord(service, '<script>')).toBe('unknown')
    expect(await addressOnRecord(service, 'a'.repeat(5000))).toBe('unknown')
  })

  test('the rate is that of the client behind the proxy', async () => {
    const service = await serviceWith(
      { requests_per_second_per_address: 0.1, burst_per_address: 1 },
      { listen: { port: 0, trusted_proxies: ['127.0.0.1'] } },
    )
    const status = async (address: string): Promise<number> =>
      (await ask(service, '/ca/ca.pem', { method: 'GET', headers: { 'x-forwarded-for': address } }))
        .status
    expect(await status('203.0.113.1')).toBe(200)
    expect(await status('203.0.113.1')).toBe(429)
    expect(await status('203.0.113.2')).toBe(200)
    expect(await status('2001:db8::1')).toBe(200)
    expect(await status('2001:db8::2')).toBe(429)
  })
})

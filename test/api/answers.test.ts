import { X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { describeProxy } from '../../ca/proxy-info.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { useTestService } from '../support/service.ts'
import { ask, askProxy, problemOf, proxyJson, quick, soundCsr } from './support.ts'

const allow = [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }]
const service = useTestService({
  configuration: {
    ...(quick.configuration as Record<string, Record<string, unknown>>),
    services: {
      proxy: { authz: { allow } },
      x509: { authz: { allow } },
      short: { plugin: 'x509-proxy', maximum_lifetime_seconds: 600, authz: { allow } },
      off: { plugin: 'x509-proxy', enabled: false, authz: { allow } },
      nobody: { plugin: 'x509-proxy' },
    },
  },
})

describe('formats of the answer', () => {
  test.for([
    { accept: undefined, type: 'application/x-pem-file; charset=utf-8' },
    { accept: '*/*', type: 'application/x-pem-file; charset=utf-8' },
    { accept: 'application/x-pem-file', type: 'application/x-pem-file; charset=utf-8' },
    { accept: 'text/plain', type: 'application/x-pem-file; charset=utf-8' },
    { accept: 'application/json', type: 'application/json; charset=utf-8' },
    { accept: 'application/json, text/plain;q=0.5', type: 'application/json; charset=utf-8' },
    { accept: 'application/*', type: 'application/x-pem-file; charset=utf-8' },
  ])('Accept: $accept', async ({ accept, type }) => {
    const response = await ask(service(), '/v1/proxies', {
      headers: {
        ...(accept === undefined ? {} : { accept }),
        'content-type': 'application/pkcs10',
      },
      body: await soundCsr(),
    })
    expect(response.status, await response.text()).toBe(200)
    expect(response.headers.get('content-type')).toBe(type)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('tts-credential-id')).toMatch(/^[0-9a-f-]{36}$/)
  })

  test.for(['text/html', 'image/png', 'application/xml', 'application/json;q=0'])(
    'Accept: %s: 406',
    async (accept) => {
      const response = await ask(service(), '/v1/proxies', { headers: { accept } })
      expect(await problemOf(response)).toMatchObject({ status: 406, code: 'not_acceptable' })
    },
  )

  test('JSON tells all that the headers tell', async () => {
    const response = await ask(service(), '/v1/proxies?key_type=ec-p256', {
      headers: { accept: 'application/json' },
    })
    const body = (await response.json()) as Record<string, unknown>
    expect(Object.keys(body).toSorted()).toEqual([
      'end_entity_serial',
      'id',
      'identity',
      'not_after',
      'pem',
      'service',
      'warnings',
    ])
    expect(body).toMatchObject({
      id: response.headers.get('tts-credential-id'),
      not_after: response.headers.get('tts-not-after'),
      service: 'proxy',
      identity: '/C=EU/O=INDIGO/OU=TTS/CN=9e499e0e-ce25-485b-9353-d19726fd287a@indigo-iam-test',
    })
    expect((body['warnings'] as string[]).join('; ')).toBe(response.headers.get('tts-warning'))
    const [proxy, eec] = parseProxyFile(body['pem'] as string).certificates
    expect(body['not_after']).toBe(proxy?.validity.notAfter.toISOString())
    expect(body['end_entity_serial']).toBe(eec?.serial)
  })
})

describe('what is asked for is in the certificate', () => {
  const factsOf = (pem: string) =>
    describeProxy(parseProxyFile(pem), { now: new Date(), path: 'test' })

  test.for([
    { asked: 60, wanted: 60 },
    { asked: 3600, wanted: 3600 },
    { asked: 604_800, wanted: 604_800 },
    { asked: undefined, wanted: 96 * 3600 },
  ])('lifetime $asked', async ({ asked, wanted }) => {
    const before = Date.now()
    const answer = await proxyJson(
      service(),
      asked === undefined ? {} : { query: `?lifetime_seconds=${asked}` },
    )
    const [proxy] = parseProxyFile(answer.pem).certificates
    const end = proxy?.validity.notAfter.getTime() ?? 0
    expect(end).toBeGreaterThan(before + wanted * 1000 - 1001)
    expect(end).toBeLessThanOrEqual(Date.now() + wanted * 1000)
  })

  test.for([
    { type: 'impersonation', words: /impersonation/ },
    { type: 'limited', words: /limited/ },
    { type: 'independent', words: /independent/ },
  ])('proxy type $type', async ({ type, words }) => {
    const answer = await proxyJson(service(), { query: `?proxy_type=${type}` })
    expect(factsOf(answer.pem).type).toMatch(words)
    expect(answer.warnings.some((warning) => warning.includes('independent'))).toBe(
      type === 'independent',
    )
  })

  test.for([0, 1, 2, 100])('path length %i', async (length) => {
    const answer = await proxyJson(service(), { query: `?path_length=${length}` })
    expect(factsOf(answer.pem).pathLength).toBe(length)
    expect(answer.warnings.some((warning) => warning.includes('MyProxy'))).toBe(length < 2)
  })

  test.for([
    { kind: 'ec-p256', type: 'ec', details: { namedCurve: 'prime256v1' }, warning: /XRootD/ },
    { kind: 'rsa-2048', type: 'rsa', details: { modulusLength: 2048 }, warning: /^$/ },
    { kind: 'rsa-3072', type: 'rsa', details: { modulusLength: 3072 }, warning: /^$/ },
  ])('key type $kind', async ({ kind, type, details, warning }) => {
    const response = await ask(service(), `/v1/proxies?key_type=${kind}`)
    const text = await response.text()
    expect(response.status, text).toBe(200)
    const { publicKey } = new X509Certificate(text)
    expect(publicKey.asymmetricKeyType).toBe(type)
    expect(publicKey.asymmetricKeyDetails).toMatchObject(details)
    expect(response.headers.get('tts-warning') ?? '').toMatch(warning)
  })

  test('no two credentials share a serial number', async () => {
    const answers = await Promise.all(Array.from({ length: 40 }, async () => proxyJson(service())))
    const serials = answers.map(({ pem }) => parseProxyFile(pem).certificates[0]?.serial)
    expect(new Set(serials).size).toBe(40)
  })
})

describe('services', () => {
  test.for([
    {
      name: 'one that there is not',
      service: 'none',
      status: 404,
      code: 'not_found',
      check: 'service',
    },
    {
      name: 'of a hostile name',
      service: '..%2F..%2Fetc',
      status: 404,
      code: 'not_found',
      check: 'service',
    },
    { name: '__proto__', service: '__proto__', status: 404, code: 'not_found', check: 'service' },
    { name: 'empty', service: '', status: 404, code: 'not_found', check: 'service' },
    { name: 'disabled', service: 'off', status: 403, code: 'access_denied', check: 'enabled' },
    {
      name: 'without rules',
      service: 'nobody',
      status: 403,
      code: 'access_denied',
      check: 'authorisation',
    },
  ])('$name: $status', async ({ service: id, status, code, check }) => {
    const response = await askProxy(service(), `?service=${id}`)
    expect(await problemOf(response)).toMatchObject({ status, code, check })
  })

  test("another one's bounds hold", async () => {
    expect((await askProxy(service(), '?service=short&lifetime_seconds=600')).status).toBe(200)
    const tooLong = await askProxy(service(), '?service=short&lifetime_seconds=601')
    expect(await problemOf(tooLong)).toMatchObject({ status: 400, check: 'lifetime' })
    const answer = await proxyJson(service(), { query: '?service=short' })
    expect(Date.parse(answer.not_after)).toBeLessThanOrEqual(Date.now() + 600_000)
  })
})

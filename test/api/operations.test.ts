import { setTimeout as delay } from 'node:timers/promises'
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { AUDIENCE, startTestService, type TestService, useTestService } from '../support/service.ts'
import { ask, problemOf, proxyJson, quick, wideLimits } from './support.ts'

const service = useTestService(quick)

/** A public path, with no token. */
async function get(path: string): Promise<{ response: Response; body: Buffer }> {
  const response = await ask(service(), path, { method: 'GET', token: undefined })
  return { response, body: Buffer.from(await response.arrayBuffer()) }
}

function openssl(args: readonly string[], input: Buffer): string {
  return execFileSync('openssl', [...args], { input, encoding: 'utf8', stdio: 'pipe' })
}

describe('/ca', () => {
  test.for([
    {
      path: '/ca/ca.pem',
      type: 'application/x-pem-file; charset=utf-8',
      args: ['x509', '-noout', '-subject'],
      says: /OU ?= ?TTS, CN ?= ?TTS-CA/,
    },
    {
      path: '/ca/ca.der',
      type: 'application/pkix-cert',
      args: ['x509', '-inform', 'DER', '-noout', '-subject'],
      says: /CN ?= ?TTS-CA/,
    },
    {
      path: '/ca/chain.pem',
      type: 'application/x-pem-file; charset=utf-8',
      args: ['x509', '-noout', '-subject'],
      says: /CN ?= ?TTS-CA/,
    },
    {
      path: '/ca/crl.pem',
      type: 'application/x-pem-file; charset=utf-8',
      args: ['crl', '-noout', '-issuer'],
      says: /CN ?= ?TTS-CA/,
    },
    {
      path: '/ca/crl.der',
      type: 'application/pkix-crl',
      args: ['crl', '-inform', 'DER', '-noout', '-issuer'],
      says: /CN ?= ?TTS-CA/,
    },
  ])('$path, read by openssl', async ({ path, type, args, says }) => {
    const { response, body } = await get(path)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe(type)
    expect(response.headers.get('cache-control')).toBe(
      path.includes('crl') ? 'no-cache' : 'public, max-age=3600',
    )
    expect(openssl(args, body)).toMatch(says)
  })

  test('nothing below is a key', async () => {
    const { body } = await get('/ca/')
    const { files } = JSON.parse(body.toString()) as { files: string[] }
    for (const name of files) {
      const file = await get(`/ca/${name}`)
      expect(file.response.status).toBe(200)
      expect(file.body.toString('latin1')).not.toMatch(/PRIVATE KEY/)
    }
  })

  test('the trust anchors: what a site unpacks', async () => {
    const { response, body } = await get('/ca/trust-anchors.tar.gz')
    expect(response.headers.get('content-type')).toBe('application/gzip')
    expect(response.headers.get('content-disposition')).toBe(
      'attachment; filename="trust-anchors.tar.gz"',
    )
    const directory = join(service().directory, 'anchors')
    mkdirSync(directory)
    writeFileSync(join(directory, 'a.tgz'), body)
    execFileSync('tar', ['-xzf', 'a.tgz'], { cwd: directory })
    const ca = Buffer.from((await get('/ca/ca.pem')).body)
    const hash = openssl(['x509', '-noout', '-subject_hash'], ca).trim()
    const oldHash = openssl(['x509', '-noout', '-subject_hash_old'], ca).trim()
    const names = readdirSync(directory).filter((name) => name !== 'a.tgz')
    expect(names).toEqual(
      expect.arrayContaining([
        `${hash}.0`,
        `${hash}.r0`,
        `${hash}.signing_policy`,
        `${hash}.namespaces`,
        `${oldHash}.0`,
        `${oldHash}.r0`,
        `${oldHash}.signing_policy`,
        'tts-ca.pem',
      ]),
    )
    expect(
      names.filter(
        (name) =>
          !/^(tts-ca|[0-9a-f]{8})\.(pem|0|r0|signing_policy|namespaces|info|crl_url)$/.test(name),
      ),
    ).toEqual([])
    const { pem } = await proxyJson(service())
    writeFileSync(join(directory, 'proxy.pem'), pem)
    const args = [
      'verify',
      '-CApath',
      directory,
      '-allow_proxy_certs',
      '-crl_check_all',
      '-untrusted',
      join(directory, 'proxy.pem'),
      join(directory, 'proxy.pem'),
    ]
    expect(execFileSync('openssl', args, { encoding: 'utf8' })).toMatch(/OK/)
    expect(readFileSync(join(directory, `${hash}.signing_policy`), 'utf8')).toContain(
      '/C=EU/O=INDIGO/OU=TTS/*',
    )
  })
})

const readyz = async (service: TestService): Promise<number> =>
  (await ask(service, '/readyz', { method: 'GET' })).status

describe('health', () => {
  test('/healthz and /readyz', async () => {
    const healthz = await get('/healthz')
    expect(JSON.parse(healthz.body.toString())).toEqual({ status: 'ok' })
    const readyz = await get('/readyz')
    expect(readyz.response.status).toBe(200)
    expect(JSON.parse(readyz.body.toString())).toEqual({
      ready: true,
      stopping: false,
      ca: 'ok',
      saturated: false,
      requests_in_flight: 0,
      store: 'ok',
      providers: [{ id: 'iam', ready: true, using_cached: false }],
    })
  })

  test('one provider of two is down: ready, and it says so', async () => {
    const two = await startTestService({
      configuration: (provider) => ({
        ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
        limits: wideLimits,
        providers: {
          iam: { issuer: provider.issuer, alias: 'indigo-iam-test', audiences: [AUDIENCE] },
          gone: { issuer: 'http://127.0.0.1:9', audiences: [AUDIENCE] },
        },
      }),
    })
    try {
      await expect
        .poll(async () => (await ask(two, '/readyz', { method: 'GET' })).json())
        .toMatchObject({
          ready: true,
          providers: [
            { id: 'iam', ready: true },
            { id: 'gone', ready: false, problem: expect.any(String) as string },
          ],
        })
      expect((await proxyJson(two)).id).toBeTruthy()
      const metrics = await (await ask(two, '/metrics', { method: 'GET' })).text()
      expect(metrics).toMatch(/tts_provider_ready\{provider="iam"\} 1/)
      expect(metrics).toMatch(/tts_provider_ready\{provider="gone"\} 0/)
    } finally {
      await two.stop()
    }
  })

  test('all providers down, or the records gone: 503, and alive all the same', async () => {
    const down = await startTestService({ ...quick, providerDown: true, awaitReady: false })
    try {
      const response = await ask(down, '/readyz', { method: 'GET' })
      expect(response.status).toBe(503)
      expect(await response.json()).toMatchObject({ ready: false, store: 'ok' })
      await down.running.service.store.close()
      await expect
        .poll(async () => (await ask(down, '/readyz', { method: 'GET' })).json())
        .toMatchObject({ ready: false, store: 'the database cannot be reached or written' })
      expect((await ask(down, '/healthz', { method: 'GET' })).status).toBe(200)
      expect((await ask(down, '/metrics', { method: 'GET' })).status).toBe(200)
      expect((await ask(down, '/ca/ca.pem', { method: 'GET' })).status).toBe(200)
    } finally {
      await down.stop()
    }
  })

  test('records that cannot be written: 503 with Retry-After, in time, and nothing leaves', async () => {
    const configuration = quick.configuration as Record<string, Record<string, unknown>>
    const locked = await startTestService({
      configuration: { ...configuration, store: { timeout_seconds: 0.3 } },
    })
    const other = new DatabaseSync(join(locked.directory, 'data/tts.db'))
    try {
      const { id } = await proxyJson(locked)
      other.exec('begin immediate')
      for (const [method, path] of [
        ['POST', '/v1/proxies?key_type=ec-p256'],
        ['DELETE', `/v1/credentials/${id}`],
      ] as const) {
        const response = await ask(locked, path, { method })
        expect(await problemOf(response), path).toMatchObject({
          status: 503,
          code: 'store_unavailable',
        })
        expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
      }
      await expect.poll(() => readyz(locked)).toBe(503)
      // What only reads goes on.
      expect((await ask(locked, '/ca/crl.der', { method: 'GET' })).status).toBe(200)
      other.exec('rollback')
      expect((await proxyJson(locked)).id).toBeTruthy()
      await expect.poll(() => readyz(locked)).toBe(200)
    } finally {
      other.close()
      await locked.stop()
    }
  })
})

describe('/metrics', () => {
  test('text for Prometheus, without identities', async () => {
    const answer = await proxyJson(service())
    await ask(service(), '/v1/proxies', { token: service().token('bob') })
    await ask(service(), '/v1/proxies', { token: 'nonsense' })
    await ask(service(), `/some/path/of/an/attacker`, { method: 'GET' })
    const { response, body } = await get('/metrics')
    const text = body.toString()
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    for (const line of text.split('\n').filter((one) => one !== ''))
      expect(line).toMatch(
        /^(# (HELP|TYPE) (tts|process|nodejs)_\w+ .+|(tts|process|nodejs)_\w+(\{(\w+="[^"]*",?)*\})? [-+0-9.eE]+(Inf|NaN)?)$/,
      )
    expect(text).toMatch(/tts_credentials_issued_total\{service="proxy"\} [1-9]/)
    expect(text).toMatch(/tts_refused_total\{code="access_denied",check="authorisation"\} 1/)
    expect(text).toMatch(/tts_refused_total\{code="invalid_token",check="format"\} 1/)
    expect(text).toMatch(
      /tts_http_request_duration_seconds_count\{[^}]*route="\/v1\/proxies"[^}]*\}/,
    )
    expect(text).toMatch(
      /tts_http_request_duration_seconds_count\{[^}]*route="other"[^}]*status="404"[^}]*\}/,
    )
    const daysUntil = (name: string): number =>
      (Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]) - Date.now() / 1000) / 86_400
    expect(daysUntil('tts_ca_certificate_expiry_timestamp_seconds')).toBeGreaterThan(3649)
    expect(daysUntil('tts_crl_next_update_timestamp_seconds')).toBeGreaterThan(29)
    expect(Math.abs(daysUntil('tts_crl_this_update_timestamp_seconds'))).toBeLessThan(0.1)
    expect(text).toMatch(/^tts_build_info\{version="\d+\.\d+\.\d+",commit="",node="v\d+/m)
    expect(text).toMatch(/^tts_signing_duration_seconds_count [1-9]/m)
    expect(text).toMatch(/^process_resident_memory_bytes \d+/m)
    for (const secret of ['9e499e0e', 'alice', 'attacker', '127.0.0.1', answer.id, 'CN='])
      expect(text).not.toContain(secret)
  })

  test('labels do not grow with what callers send', async () => {
    const count = async (): Promise<number> => {
      // Longer than an answer is cached: an older one would lack the newest labels.
      await delay(300)
      return (await get('/metrics')).body.toString().split('\n').length
    }
    await ask(service(), '/v1/proxies?service=a0', { method: 'GET' })
    await ask(service(), '/v1/proxies?service=a0')
    await ask(service(), '/a0', { method: 'GET' })
    const before = await count()
    for (let round = 0; round < 5; round += 1) {
      await ask(service(), `/v1/proxies?service=b${round}`)
      await ask(service(), `/b${round}`, { method: 'GET' })
    }
    expect(await count()).toBe(before)
  })
})

describe('/openapi.json', () => {
  interface Operation {
    readonly responses: Record<string, object>
    readonly security?: object[]
    readonly parameters?: readonly {
      name: string
      in: string
      required?: boolean
      schema: object
    }[]
  }
  type Document = {
    openapi: string
    info: { title: string; version: string }
    paths: Record<string, Record<string, Operation>>
    components: Record<string, Record<string, object>>
  }
  const read = async (): Promise<Document> =>
    JSON.parse((await get('/openapi.json')).body.toString()) as Document

  test('lists exactly the routes that there are', async () => {
    const { paths } = await read()
    const found = Object.entries(paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    )
    expect(found.toSorted()).toEqual(
      [
        'POST /v1/proxies',
        'POST /v1/proxies/successor',
        'POST /v1/certificates',
        'POST /oauth2/token',
        'POST /v1/delegations',
        'GET /v1/delegations',
        'GET /v1/delegations/{id}',
        'DELETE /v1/delegations/{id}',
        'POST /v1/delegations/{id}/proxies',
        'GET /v1/credentials',
        'GET /v1/credentials/{id}',
        'DELETE /v1/credentials/{id}',
        'GET /api/v2/oidcp',
        'GET /api/v2/info',
        'GET /api/v2/logout',
        'GET /api/v2/{issuer}/access_token',
        'GET /api/v2/{issuer}/service',
        'GET /api/v2/{issuer}/credential',
        'POST /api/v2/{issuer}/credential',
        'DELETE /api/v2/{issuer}/credential/{id}',
        'GET /api/v2/{issuer}/credential_data/{id}',
        'GET /ca',
        'GET /ca/ca.pem',
        'GET /ca/ca.der',
        'GET /ca/chain.pem',
        'GET /ca/crl.pem',
        'GET /ca/crl.der',
        'GET /ca/trust-anchors.tar.gz',
        'GET /problems',
        'GET /problems/{code}',
        'GET /healthz',
        'GET /readyz',
        'GET /metrics',
        'GET /openapi.json',
      ].toSorted(),
    )
    for (const path of Object.keys(paths)) {
      const { response } = await get(
        path.replace('{id}', '00000000-0000-4000-8000-000000000000').replace('{code}', 'not_found'),
      )
      expect(response.status, path).not.toBe(404)
    }
  })

  test('has the shape of OpenAPI 3.1', async () => {
    const document = await read()
    expect(document.openapi).toMatch(/^3\.1\.\d+$/)
    expect(document.info.title).toBeTruthy()
    expect(document.info.version).toBeTruthy()
    for (const [path, operations] of Object.entries(document.paths)) {
      expect(path).toMatch(/^\//)
      for (const operation of Object.values(operations)) {
        expect(Object.keys(operation.responses).length).toBeGreaterThan(0)
        for (const status of Object.keys(operation.responses))
          expect(status).toMatch(/^([1-5]\d\d|default)$/)
        const named = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path')
        expect(named.map(({ name }) => `{${name}}`)).toEqual(path.match(/\{\w+\}/g) ?? [])
        expect(named.every(({ required }) => required)).toBe(true)
        expect(operation.security !== undefined).toBe(/^\/v1\/|\{issuer\}/.test(path))
      }
    }
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)]
    expect(references.length).toBeGreaterThan(0)
    for (const [, reference = ''] of references) {
      const target = reference
        .split('/')
        .reduce<unknown>((place, key) => (place as Record<string, unknown>)[key], document)
      expect(target, reference).toBeTypeOf('object')
    }
  })

  test('tells the parameters that the service takes', async () => {
    const text = JSON.stringify((await read()).components['schemas']?.['ProxyParameters'])
    for (const word of [
      'lifetime_seconds',
      'proxy_type',
      'path_length',
      'key_type',
      'key_format',
      'csr',
      'independent',
      'rsa-3072',
    ])
      expect(text).toContain(word)
  })
})

test('the certificate of /ca is the one that signs', async () => {
  const ca = new X509Certificate((await get('/ca/ca.pem')).body)
  const { pem } = await proxyJson(service())
  const eec = new X509Certificate(pem.slice(pem.indexOf('-----BEGIN', 10)))
  expect(eec.checkIssued(ca)).toBe(true)
  expect(eec.verify(ca.publicKey)).toBe(true)
})

test('a service whose CA has expired is not ready, and says why', async () => {
  let offsetMs = 0
  const expired = await startTestService({ ...quick, now: () => new Date(Date.now() + offsetMs) })
  try {
    expect((await ask(expired, '/readyz', { method: 'GET' })).status).toBe(200)
    offsetMs = 11 * 366 * 86_400_000
    await expect
      .poll(async () => {
        const response = await ask(expired, '/readyz', { method: 'GET' })
        const { ca } = (await response.json()) as { ca: string }
        return `${response.status} ${ca}`
      })
      .toMatch(/^503 the certificate of \/C=EU\/O=INDIGO\/OU=TTS\/CN=TTS-CA expired on 20/)
  } finally {
    await expired.stop()
  }
})

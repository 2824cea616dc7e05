import { describe, expect, test } from 'vitest'
import { useTestService } from '../support/service.ts'
import { ask, problemOf, quick, rawRequest } from './support.ts'

const service = useTestService(quick)
const id = '00000000-0000-4000-8000-000000000000'

/** Every path there is, and what it takes. */
const routes: Readonly<Record<string, string>> = {
  '/v1/proxies': 'POST',
  '/v1/certificates': 'POST',
  '/v1/delegations': 'GET, HEAD, POST',
  [`/v1/delegations/${id}`]: 'GET, HEAD, DELETE',
  [`/v1/delegations/${id}/proxies`]: 'POST',
  '/v1/proxies/successor': 'POST',
  '/oauth2/token': 'POST',
  '/v1/credentials': 'GET, HEAD',
  [`/v1/credentials/${id}`]: 'GET, HEAD, DELETE',
  '/ca/': 'GET, HEAD',
  '/ca/ca.pem': 'GET, HEAD',
  '/ca/ca.der': 'GET, HEAD',
  '/ca/chain.pem': 'GET, HEAD',
  '/ca/crl.pem': 'GET, HEAD',
  '/ca/crl.der': 'GET, HEAD',
  '/ca/trust-anchors.tar.gz': 'GET, HEAD',
  '/problems': 'GET, HEAD',
  '/problems/not_found': 'GET, HEAD',
  '/healthz': 'GET, HEAD',
  '/readyz': 'GET, HEAD',
  '/metrics': 'GET, HEAD',
  '/openapi.json': 'GET, HEAD',
}

describe('methods', () => {
  const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']
  test.for(Object.entries(routes))('%s takes %s', async ([path, allowed]) => {
    for (const method of methods) {
      const answer = await rawRequest(`${service().url}${path}`, {
        method,
        headers: { authorization: `Bearer ${service().token()}`, 'content-length': '0' },
      })
      if (method === 'OPTIONS') {
        expect(answer).toMatchObject({ status: 204, text: '' })
        expect(answer.headers.allow).toBe(`${allowed}, OPTIONS`)
      } else if (allowed.split(', ').includes(method)) {
        expect(answer.status, `${method} ${path} ${answer.text}`).not.toBe(405)
        expect(answer.status).not.toBe(500)
      } else {
        expect(answer.status, `${method} ${path}`).toBe(405)
        expect(answer.headers.allow).toBe(allowed)
        if (method !== 'HEAD') {
          expect(JSON.parse(answer.text)).toMatchObject(
            path.startsWith('/oauth2/')
              ? { error: 'invalid_request', error_uri: '/problems/method_not_allowed' }
              : { code: 'method_not_allowed' },
          )
        }
      }
    }
  })

  test('HEAD has the headers of GET and no body', async () => {
    for (const path of ['/ca/ca.der', '/ca/crl.der', '/healthz', '/openapi.json']) {
      const get = await ask(service(), path, { method: 'GET' })
      const head = await ask(service(), path, { method: 'HEAD' })
      expect(head.status).toBe(200)
      expect(await head.text()).toBe('')
      for (const name of ['content-type', 'content-length', 'cache-control'])
        expect(head.headers.get(name)).toBe(get.headers.get(name))
    }
  })
})

describe('paths', () => {
  test.for([
    '/v1',
    '/v1/',
    '/v2/proxies',
    '/v1/proxies/x',
    '/ca/ca.key',
    '/ca/ca-key.pem',
    '/ca/passphrase',
    '/ca/../master-keys',
    '/ca/..%2f..%2fmaster-keys',
    '/ca/%2e%2e/passphrase',
    '/ca/ca.pem%00',
    '//ca/ca.pem',
    '/.git/config',
    '/apis/v2/oidcp',
    '/%',
    '/%00',
    `/${'a'.repeat(8000)}`,
    '/v1/credentials/x',
    '/v1/credentials/00000000-0000-4000-8000-00000000000',
    `/v1/credentials/${id.toUpperCase().replace('8', 'A')}`,
    `/v1/credentials/${id}%0a`,
    '/v1/credentials/__proto__',
  ])('GET %s: 404', async (path) => {
    const answer = await rawRequest(service().url, { method: 'GET' }).then(async () =>
      rawPath(path),
    )
    expect(answer.status, answer.text).toBe(404)
    expect(JSON.parse(answer.text)).toMatchObject({ code: 'not_found' })
    expect(answer.text).not.toContain('aaaa')
  })

  test.for(['/v1/credentials/%', '/v1/credentials/%E0%A4%A', '/v1/credentials/%ff'])(
    'GET %s: 400',
    async (path) => {
      const answer = await rawPath(path)
      expect(answer.status, answer.text).toBe(400)
      expect(JSON.parse(answer.text)).toMatchObject({
        code: 'invalid_request',
        detail: 'the request is malformed',
      })
    },
  )

  async function rawPath(path: string) {
    const { request } = await import('node:http')
    const { hostname, port } = new URL(service().url)
    return new Promise<{ status: number; text: string }>((resolve, reject) => {
      const sent = request({
        hostname,
        port,
        path,
        agent: false,
        headers: { authorization: `Bearer ${service().token()}` },
      })
      sent.once('error', reject)
      sent.once('response', (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part
        })
        response.once('end', () => resolve({ status: response.statusCode ?? 0, text }))
      })
      sent.end()
    })
  }
})

describe('headers of every answer', () => {
  const wanted: Readonly<Record<string, RegExp | null>> = {
    'content-security-policy': /default-src 'self'/,
    'strict-transport-security': /max-age=\d{7,}/,
    'x-content-type-options': /^nosniff$/,
    'x-frame-options': /^SAMEORIGIN$/,
    'referrer-policy': /^no-referrer$/,
    'cross-origin-resource-policy': /^same-origin$/,
    'x-powered-by': null,
    server: null,
    etag: null,
    'set-cookie': null,
    'access-control-allow-origin': null,
    'x-request-id': /^[0-9a-f-]{36}$/,
  }
  test.for([
    ['GET', '/healthz', 200],
    ['GET', '/ca/ca.pem', 200],
    ['GET', '/openapi.json', 200],
    ['GET', '/v1/credentials', 200],
    ['POST', '/v1/proxies?key_type=ec-p256', 200],
    ['POST', '/v1/proxies?x=1', 400],
    ['GET', '/nothing', 404],
    ['PUT', '/v1/proxies', 405],
    ['OPTIONS', '/v1/proxies', 204],
  ] as const)('%s %s: %i', async ([method, path, status]) => {
    const response = await ask(service(), path, { method })
    expect(response.status).toBe(status)
    for (const [name, pattern] of Object.entries(wanted)) {
      if (pattern === null) expect(response.headers.get(name), name).toBeNull()
      else expect(response.headers.get(name), name).toMatch(pattern)
    }
  })
})

describe('X-Request-Id', () => {
  test.for(['abcdefgh', 'a'.repeat(64), '3f0c9a-.._B'])('kept: %s', async (given) => {
    const response = await ask(service(), '/nothing', { headers: { 'x-request-id': given } })
    expect(response.headers.get('x-request-id')).toBe(given)
    expect((await problemOf(response)).request_id).toBe(given)
    expect(service().logged.some((line) => line.includes(`"request":"${given}"`))).toBe(true)
  })

  test.for([
    'short',
    'a'.repeat(65),
    'abcdefgh ijk',
    'abcdefgh"}',
    'abcdefgh\\n',
    '<script>alert(1)</script>',
    '../../etc/passwd',
    'äöüäöüäöü',
  ])('made anew: %s', async (given) => {
    const answer = await rawRequest(`${service().url}/nothing`, {
      headers: { 'x-request-id': Buffer.from(given).toString('latin1') },
    })
    expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    expect(answer.text).not.toContain(given)
  })
})

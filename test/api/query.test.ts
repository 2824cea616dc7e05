/** Which paths refuse a query parameter that they do not have, and which ones ignore it. */
import { describe, expect, test } from 'vitest'
import { AUDIENCE, startTestService, useTestService } from '../support/service.ts'
import { ask, problemOf, quick, soundCsr } from './support.ts'
import { delegating } from './delegation-support.ts'

const service = useTestService(delegating())

const id = '00000000-0000-4000-8000-000000000000'

describe('refused, and the answer says what there is', () => {
  // prettier-ignore
  test.for([
    ['GET', '/v1/credentials?limt=5', 'unknown parameter: limt; this path accepts limit, after, active'],
    ['HEAD', '/v1/credentials?limt=5', ''],
    ['GET', '/v1/credentials?limit=5&x&y=1', 'unknown parameter: x, y; this path accepts limit, after, active'],
    ['GET', '/v1/credentials?cursor=', 'unknown parameter: cursor; this path accepts limit, after, active'],
    ['GET', '/v1/credentials?Limit=5', 'unknown parameter; this path accepts limit, after, active'],
    ['GET', '/v1/credentials?eyJhbGciOiJSUzI1NiJ9.e30.x', 'unknown parameter; this path accepts limit, after, active'],
    ['GET', '/v1/credentials?active[]=true', 'unknown parameter; this path accepts limit, after, active'],
    ['GET', '/v1/credentials?__proto__=1', 'unknown parameter: __proto__; this path accepts limit, after, active'],
    ['GET', '/v1/credentials?constructor=1', 'unknown parameter: constructor; this path accepts limit, after, active'],
    ['GET', '/v1/credentials?=1', 'unknown parameter; this path accepts limit, after, active'],
    ['GET', `/v1/credentials/${id}?full=1`, 'unknown parameter: full; this path accepts none'],
    ['DELETE', `/v1/credentials/${id}?force=1`, 'unknown parameter: force; this path accepts reason'],
    ['GET', '/v1/delegations?active=true', 'unknown parameter: active; this path accepts limit, after'],
    ['POST', '/v1/delegations?name=x', 'unknown parameter: name; this path accepts label'],
    ['GET', `/v1/delegations/${id}?events=5`, 'unknown parameter: events; this path accepts none'],
    ['DELETE', `/v1/delegations/${id}?reason=x`, 'unknown parameter: reason; this path accepts none'],
    ['POST', '/v1/proxies?lifetime=60', 'unknown parameter: lifetime'],
    ['POST', '/v1/certificates?lifetime=60&csr=x', 'unknown parameter: lifetime'],
  ] as const)('%s %s', async ([method, path, detail]) => {
    const response = await ask(service(), path, { method })
    expect(response.status).toBe(400)
    if (method === 'HEAD') return
    expect(await problemOf(response)).toMatchObject({
      code: 'invalid_request',
      check: 'parameters',
      detail,
    })
  })

  // prettier-ignore
  test.for([
    ['GET', '/v1/credentials?limit=1&limit=2', 'limit is given twice'],
    ['GET', '/v1/delegations?after=a&after=a', 'after is given twice'],
    ['DELETE', `/v1/credentials/${id}?reason=superseded&reason=superseded`, 'reason is given twice'],
    ['GET', '/v1/delegations?limit=0', 'limit: must be a number from 1 to 1000'],
    ['GET', '/v1/delegations?limit=', 'limit: must be a number from 1 to 1000'],
    ['GET', '/v1/delegations?after=x', 'after: must be `next` of the page before'],
    ['GET', `/v1/delegations?after=${'1'.repeat(16)}.${id}`, 'after: must be `next` of the page before'],
  ] as const)('%s %s', async ([method, path, detail]) => {
    const problem = await problemOf(await ask(service(), path, { method }))
    expect(problem).toMatchObject({ status: 400, code: 'invalid_request', detail })
    expect(problem.check).toBeUndefined()
  })

  test('who sends no token, or a wrong one in the URL, learns that first', async () => {
    const get = { method: 'GET', token: undefined }
    expect((await ask(service(), '/v1/credentials?x=1', get)).status).toBe(401)
    const inUrl = await ask(service(), '/v1/credentials?access_token=x', { method: 'GET' })
    expect(await problemOf(inUrl)).toMatchObject({ status: 400, check: 'authorization' })
  })
})

describe('ignored: probes, caches and links add parameters of their own', () => {
  test.for([
    '/healthz?verbose',
    '/readyz?verbose=1',
    '/metrics?name[]=up&name[]=down',
    '/ca/?x=1',
    '/ca/ca.pem?x=1',
    '/ca/crl.der?_=1764343005',
    '/ca/crl.pem?cache=no&cache=yes',
    '/ca/trust-anchors.tar.gz?v=2',
    '/problems?utm_source=mail',
    '/problems/not_found?utm_source=mail',
    '/openapi.json?t=1',
  ])('GET %s', async (path) => {
    const get = { method: 'GET', token: undefined }
    const response = await ask(service(), path, get)
    expect(response.status).toBe(200)
    const plain = await ask(service(), path.replace(/\?.*/, ''), get)
    expect(response.headers.get('content-type')).toBe(plain.headers.get('content-type'))
  })

  test('the WaTTS API, as its clients know it', async () => {
    for (const path of ['/api/v2/oidcp?x=1', '/api/v2/iam/service?x=1'])
      expect((await ask(service(), path, { method: 'GET' })).status, path).toBe(200)
  })

  test('unknown parameters in the form of a token request (RFC 6749 section 3.2)', async () => {
    const token = service().token()
    const body = new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      subject_token: token,
      csr: await soundCsr(),
      unheard_of: '1',
    })
    const response = await ask(service(), '/oauth2/token', {
      token: undefined,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: body.toString(),
    })
    expect(response.status, await response.text()).toBe(200)
  })

  test('web pages, which links lead to', async () => {
    const browser = { accept: 'text/html' }
    const site = await startTestService({
      ...quick,
      configuration: (provider) => ({
        ...(quick.configuration as Record<string, Record<string, unknown>>),
        providers: {
          iam: {
            issuer: provider.issuer,
            alias: 'iam',
            audiences: [AUDIENCE],
            client_id: provider.clients.tts.clientId,
            client_secret: provider.clients.tts.clientSecret,
          },
        },
      }),
    })
    try {
      const answer = await fetch(`${site.url}/?utm_source=mail&fbclid=x`, { headers: browser })
      expect(answer.status).toBe(200)
      expect(answer.headers.get('content-type')).toMatch(/^text\/html/)
    } finally {
      await site.stop()
    }
  })
})

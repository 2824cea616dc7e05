/** What strangers can write into log and records: little, and nothing of their own choice. */
import { randomBytes } from 'node:crypto'
import { loggedPath } from '../../src/api/logged-path.ts'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startTestService, type TestService, useTestService } from '../support/service.ts'
import { ask, bearer, problemOf, proxyJson, quick } from './support.ts'

const base = quick.configuration as Record<string, Record<string, unknown>>

async function sampled(): Promise<TestService> {
  const limits = { ...base['limits'], recorded_refusals_per_minute: 1 }
  const service = await startTestService({ configuration: { ...base, limits } })
  onTestFinished(async () => service.stop())
  return service
}

const refusals = async (service: TestService) =>
  service.running.service.store.listAudit({ outcome: 'refused', limit: 1000 })

describe('refusals on record', () => {
  test('tokens that are not verified: one of a kind a minute, all in the metrics and the access log', async () => {
    const service = await sampled()
    for (let round = 0; round < 20; round += 1) {
      const token = service.token('alice', { aud: `other ${round}` })
      expect((await ask(service, '/v1/proxies', { token })).status).toBe(401)
      expect((await ask(service, '/v1/delegations', { token })).status).toBe(401)
      expect((await ask(service, '/v1/proxies', { token: undefined })).status).toBe(401)
    }
    const lines = await refusals(service)
    expect(lines.map(({ check }) => check)).toEqual(['audience'])
    const said = service.logged.filter((line) => line.includes('credential.refused'))
    expect(said.length).toBe(1)
    const requests = service.logged.filter((line) => line.includes('"event":"http.request"'))
    expect(requests.filter((line) => line.includes('"check":"audience"')).length).toBe(40)
    const metrics = await (await ask(service, '/metrics', { method: 'GET' })).text()
    expect(metrics).toMatch(/tts_refused_total\{code="invalid_token",check="audience"\} 40/)
  })

  test('verified callers: every one', async () => {
    const service = await sampled()
    for (let round = 0; round < 5; round += 1)
      expect((await ask(service, '/v1/proxies', { token: service.token('bob') })).status).toBe(403)
    expect((await refusals(service)).length).toBe(5)
  })

  test('verified callers that come too often: one a minute', async () => {
    const limits = {
      ...base['limits'],
      recorded_refusals_per_minute: 1,
      credentials_per_second_per_identity: 0.01,
      burst_per_identity: 1,
    }
    const service = await startTestService({ configuration: { ...base, limits } })
    onTestFinished(async () => service.stop())
    await proxyJson(service)
    for (let round = 0; round < 5; round += 1)
      expect((await ask(service, '/v1/proxies')).status).toBe(429)
    expect((await refusals(service)).map(({ check }) => check)).toEqual(['identity_rate'])
  })

  test('a token of an unknown key leaves no stack trace, and no word of connections', async () => {
    const service = await sampled()
    const iat = Math.floor(Date.now() / 1000) - 60
    const [, payload, signature] = service.token('alice', { iat }).split('.')
    const header = Buffer.from('{"alg":"RS256","kid":"nobody","typ":"at+jwt"}').toString(
      'base64url',
    )
    const token = [header, payload, signature].join('.')
    expect((await ask(service, '/v1/proxies', { token })).status).toBe(401)
    const [line = ''] = service.logged.filter((one) => one.includes('credential.refused'))
    expect(line).toContain('"check":"key"')
    expect(line).not.toMatch(/stack|connection|\.ts:\d/)
  })
})

describe('the log has the whole path, and no part of it that a client chose', () => {
  const service = useTestService(quick)
  const secret = (): string => randomBytes(12).toString('base64url')

  test.for([
    '/v1/credentials/0f8fad5b-d9cb-469f-a165-70867728950e',
    '/v1/delegations/0f8fad5b-d9cb-469f-a165-70867728950e/proxies',
    '/ca/crl.der',
    '/problems/access_denied',
    '/api/v2/iam/service',
    '/services/proxy',
  ])('%s is logged as it is', (path) => {
    expect(loggedPath(`${path}?x=y`, new Set(['iam', 'proxy']))).toBe(path)
  })

  test.for([
    {
      name: 'a renewal secret as a path',
      path: (text: string) => `/tts_renew_${text}`,
      logged: '/[...]',
    },
    {
      name: 'a token as a credential',
      path: (text: string) => `/v1/credentials/${text}`,
      logged: '/v1/credentials/[...]',
    },
    {
      name: 'a token as a delegation',
      path: (text: string) => `/v1/delegations/${text}`,
      logged: '/v1/delegations/[...]',
    },
    { name: 'below a path of ours', path: (text: string) => `/v1/${text}`, logged: '/v1/[...]' },
    { name: 'deep below', path: (text: string) => `/ca/${text}/x`, logged: '/ca/[...]/[...]' },
    {
      name: 'as a file of the trust anchors',
      path: (text: string) => `/ca/${text}`,
      logged: '/ca/[...]',
    },
    {
      name: 'in the API',
      path: (text: string) => `/api/v2/iam/${text}`,
      logged: '/api/v2/iam/[...]',
    },
    {
      name: 'as an id in the API',
      path: (text: string) => `/api/v2/iam/credential_data/${text}`,
      logged: '/api/v2/iam/credential_data/[...]',
    },
    {
      name: 'as a service of the page',
      path: (text: string) => `/services/${text}`,
      logged: '/services/[...]',
    },
    {
      name: 'as a signed request',
      path: (text: string) => `/rsp/${text}`,
      logged: '/rsp/[...]',
    },
    {
      name: 'in the query',
      path: (text: string) => `/v1/proxies?csr=${text}`,
      logged: '/v1/proxies',
    },
    {
      name: 'with a doubled slash',
      path: (text: string) => `//${text}/x`,
      logged: '/[...]/[...]',
    },
    { name: 'percent-encoded', path: (text: string) => `/%74oken${text}`, logged: '/[...]' },
  ])('$name', async ({ path, logged }) => {
    const text = secret()
    const response = await fetch(`${service().url}${path(text)}`, {
      headers: { ...bearer(service().token()), accept: 'application/json' },
      redirect: 'manual',
    })
    const id = response.headers.get('x-request-id') ?? ''
    await response.text()
    await expect
      .poll(() =>
        service().logged.some((line) => line.includes('http.request') && line.includes(id)),
      )
      .toBe(true)
    const lines = service().logged.filter((line) => line.includes(id))
    expect(lines.join('')).not.toContain(text)
    const request = lines
      .map((line) => JSON.parse(line) as { event: string; path: string })
      .find(({ event }) => event === 'http.request')
    if (typeof logged === 'string') expect(request?.path).toBe(logged)
    else expect(request?.path).toMatch(logged)
  })

  test('a method that is none of HTTP', async () => {
    const response = await ask(service(), '/healthz', { method: 'PROPFIND' })
    expect((await problemOf(response)).status).toBe(405)
  })
})

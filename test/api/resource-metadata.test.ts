/** The metadata of the protected resource (RFC 9728), and the way from a 401 to them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { resourceMetadata, resourceMetadataUrl } from '../../src/api/resource-metadata.ts'
import { AUDIENCE, startTestService, type TestService } from '../support/service.ts'
import { ask, problemOf, quick, rawRequest } from './support.ts'

describe('resourceMetadataUrl: RFC 9728 section 3.1', () => {
  const base = '/.well-known/oauth-protected-resource'
  test.for([
    ['https://tts.example.org', `https://tts.example.org${base}`],
    ['https://tts.example.org/', `https://tts.example.org${base}`],
    ['https://tts.example.org:8443', `https://tts.example.org:8443${base}`],
    ['https://www.example.org/tts', `https://www.example.org${base}/tts`],
    ['https://www.example.org/tts/', `https://www.example.org${base}/tts`],
    ['https://www.example.org/a/b', `https://www.example.org${base}/a/b`],
    ['http://127.0.0.1:8080', `http://127.0.0.1:8080${base}`],
  ] as const)('%s: %s', ([publicUrl, url]) => {
    expect(resourceMetadataUrl(publicUrl)).toBe(url)
  })
})

describe('resourceMetadata', () => {
  const fixed = {
    resource: 'https://tts.example.org',
    resource_name: 'Token Translation Service',
    bearer_methods_supported: ['header'],
  }
  const provider = (id: string, settings: object = {}) => ({
    settings: {
      issuer: `https://${id}.example.org/`,
      audiences: [] as string[],
      accept_any_wlcg_audience: false,
      required_scopes: [] as string[],
      ...settings,
    },
  })
  test.for([
    { name: 'no provider', providers: [], members: {} },
    {
      name: 'only tokens without audience, no scope',
      providers: [provider('iam')],
      members: { authorization_servers: ['https://iam.example.org/'] },
    },
    {
      name: 'several providers',
      providers: [
        provider('iam', { audiences: ['a', 'b'], required_scopes: ['tts', 'openid'] }),
        provider('wlcg', { accept_any_wlcg_audience: true, required_scopes: ['openid'] }),
      ],
      members: {
        authorization_servers: ['https://iam.example.org/', 'https://wlcg.example.org/'],
        scopes_supported: ['openid', 'tts'],
        tts_audiences: {
          'https://iam.example.org/': ['a', 'b'],
          'https://wlcg.example.org/': ['https://wlcg.cern.ch/jwt/v1/any'],
        },
      },
    },
  ])('$name', ({ providers, members }) => {
    expect(resourceMetadata('https://tts.example.org', providers)).toEqual({ ...fixed, ...members })
  })
})

const PUBLIC_URL = 'https://www.example.org/tts'
const METADATA_URL = 'https://www.example.org/.well-known/oauth-protected-resource/tts'
const PATH = '/.well-known/oauth-protected-resource'

describe('a service with a public URL that has a path', () => {
  let service: TestService
  beforeAll(async () => {
    service = await startTestService({
      configuration: {
        ...quick.configuration,
        listen: { port: 0, public_url: PUBLIC_URL, plain: { host: '127.0.0.1', port: 0 } },
      },
    })
  })
  afterAll(async () => service.stop())
  const get = (path: string) => fetch(`${service.url}${path}`)

  test.for([PATH, `${PATH}/tts`])('%s answers, with an entity tag', async (path) => {
    const response = await get(path)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(response.headers.get('cache-control')).toBe('no-cache')
    expect(await response.json()).toEqual({
      resource: PUBLIC_URL,
      resource_name: 'Token Translation Service',
      bearer_methods_supported: ['header'],
      authorization_servers: [service.provider.issuer],
      tts_audiences: { [service.provider.issuer]: [AUDIENCE] },
    })
    const etag = response.headers.get('etag') ?? ''
    expect(etag).toMatch(/^"[\w-]{43}"$/)
    // Not by fetch, which adds `Cache-Control: no-cache` here.
    const headers = { 'if-none-match': etag }
    const again = await rawRequest(`${service.url}${path}`, { method: 'GET', headers })
    expect(again).toMatchObject({ status: 304, text: '' })
  })

  test('other paths and methods are refused', async () => {
    expect((await get(`${PATH}/else`)).status).toBe(404)
    expect((await get(`${PATH}/tts/v1`)).status).toBe(404)
    const posted = await fetch(`${service.url}${PATH}`, { method: 'POST' })
    expect(posted.status).toBe(405)
    expect(posted.headers.get('allow')).toBe('GET, HEAD')
    const head = await fetch(`${service.url}${PATH}`, { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
    const options = await fetch(`${service.url}${PATH}`, { method: 'OPTIONS' })
    expect([options.status, options.headers.get('allow')]).toEqual([204, 'GET, HEAD, OPTIONS'])
  })

  test('the plain listener, where anybody could change the answer, does not have it', async () => {
    const plain = service.logged
      .map((line) => JSON.parse(line) as { readonly plain_url?: string })
      .find(({ plain_url: url }) => url !== undefined)
    expect((await fetch(`${plain?.plain_url}${PATH}`)).status).toBe(404)
  })

  test('metrics and OpenAPI name the path', async () => {
    await get(`${PATH}/tts`)
    expect(await (await get('/metrics')).text()).toContain(`route="${PATH}"`)
    expect(await (await get('/openapi.json')).json()).toMatchObject({
      paths: { [PATH]: { get: { responses: { 200: {} } } } },
    })
  })

  test('a 401 leads to it, and names the accepted audiences', async () => {
    const without = await ask(service, '/v1/proxies', { token: undefined })
    expect(without.headers.get('www-authenticate')).toBe(
      `Bearer realm="tts", resource_metadata="${METADATA_URL}"`,
    )
    const token = service.token('alice', { aud: 'https://else.example.org' })
    const refused = await ask(service, '/v1/proxies', { token })
    const detail = `the token is meant for another service (claim aud); accepted audiences: ${AUDIENCE}`
    expect(refused.headers.get('www-authenticate')).toBe(
      `Bearer realm="tts", error="invalid_token", error_description="${detail}", resource_metadata="${METADATA_URL}"`,
    )
    const problem = await problemOf(refused)
    expect(problem).toMatchObject({ status: 401, detail, accepted_audiences: [AUDIENCE] })
    // What the token holds goes to the log only.
    expect(JSON.stringify(problem)).not.toContain('else.example.org')
    const missing = await ask(service, '/v1/proxies', {
      token: service.token('alice', { aud: undefined }),
    })
    expect(await problemOf(missing)).toMatchObject({
      detail: `the token has no audience; the client must request one with the token: ${AUDIENCE}`,
      accepted_audiences: [AUDIENCE],
    })
    const expired = await ask(service, '/v1/proxies', { token: service.token('alice', { exp: 1 }) })
    expect(await problemOf(expired)).not.toHaveProperty('accepted_audiences')
  })
})

describe('a service without public URL', () => {
  let service: TestService
  beforeAll(async () => {
    service = await startTestService(quick)
  })
  afterAll(async () => service.stop())

  test('has no identifier, so it has no metadata and names none', async () => {
    expect((await fetch(`${service.url}${PATH}`)).status).toBe(404)
    const refused = await ask(service, '/v1/proxies', { token: undefined })
    expect(refused.headers.get('www-authenticate')).toBe('Bearer realm="tts"')
    const openApi = (await (await fetch(`${service.url}/openapi.json`)).json()) as { paths: object }
    expect(openApi.paths).not.toHaveProperty([PATH])
  })
})

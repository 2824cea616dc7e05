/** Requests of scripts of other web pages (CORS): nothing by default, and only what the operator lists. */
import { describe, expect, test } from 'vitest'
import { isOrigin } from '../../src/config/value-checks.ts'
import { useTestService } from '../support/service.ts'
import { ask, bearer, quick } from './support.ts'

const PORTAL = 'https://portal.example.org'
const closed = useTestService(quick)
const open = useTestService({
  ...quick,
  configuration: {
    ...quick.configuration,
    listen: { port: 0, cors_origins: [PORTAL, 'http://localhost:3000'] },
  },
})

const corsHeadersOf = (response: Response): Record<string, string> =>
  Object.fromEntries([...response.headers].filter(([name]) => name.startsWith('access-control-')))

const preflight = (url: string, path: string, origin: string, method = 'POST') =>
  fetch(`${url}${path}`, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': method,
      'access-control-request-headers': 'authorization,content-type',
    },
  })

const allowed = {
  'access-control-allow-origin': PORTAL,
  'access-control-expose-headers':
    'Retry-After, TTS-Credential-Id, TTS-Not-After, TTS-Renews-Until, TTS-Warning, WWW-Authenticate, X-Request-Id',
}
const allowedBefore = {
  ...allowed,
  'access-control-allow-methods': 'GET, POST, DELETE',
  'access-control-allow-headers': 'Authorization, Content-Type',
  'access-control-max-age': '600',
}

describe('by default', () => {
  test.for(['/v1/proxies', '/v1/credentials', '/oauth2/token', '/', '/api/v2/oidcp', '/ca/ca.pem'])(
    '%s has no CORS header',
    async (path) => {
      const { url } = closed()
      expect(corsHeadersOf(await preflight(url, path, PORTAL))).toEqual({})
      const headers = { origin: PORTAL, ...bearer(closed().token()) }
      const got = await fetch(`${url}${path}`, { headers, redirect: 'manual' })
      expect(corsHeadersOf(got)).toEqual({})
      expect(got.headers.get('vary') ?? '').not.toMatch(/origin/i)
    },
  )
})

describe('with listed origins', () => {
  test.for([
    '/v1/proxies',
    '/v1/certificates',
    '/v1/credentials',
    '/v1/credentials/00000000-0000-4000-8000-000000000000',
    '/v1/delegations',
    '/v1/delegations/00000000-0000-4000-8000-000000000000/proxies',
    '/oauth2/token',
    '/openapi.json',
  ])('a preflight request for %s needs no token', async (path) => {
    const response = await preflight(open().url, path, PORTAL)
    expect(response.status).toBe(204)
    expect(corsHeadersOf(response)).toEqual(allowedBefore)
    expect(response.headers.get('vary')).toContain('Origin')
  })

  test('a script reads answers, refusals and problems of the limits', async () => {
    const origin = { origin: PORTAL }
    for (const [path, token, status] of [
      ['/v1/proxies?key_type=ec-p256', open().token(), 200],
      ['/v1/proxies', undefined, 401],
      ['/v1/proxies?x=1', open().token(), 400],
    ] as const) {
      const response = await ask(open(), path, { token, headers: origin })
      expect(response.status).toBe(status)
      expect(corsHeadersOf(response)).toEqual(allowed)
    }
  })

  test.for([
    'https://evil.example.org',
    'https://portal.example.org.evil.org',
    'https://portal.example.org:8443',
    'http://portal.example.org',
    'https://PORTAL.example.org',
    'https://portal.example.org/',
    'null',
    '*',
    '',
  ])('not for the origin "%s"', async (origin) => {
    expect(corsHeadersOf(await preflight(open().url, '/v1/proxies', origin))).toEqual({})
    const list = await ask(open(), '/v1/credentials', { method: 'GET', headers: { origin } })
    expect(list.status).toBe(200)
    expect(corsHeadersOf(list)).toEqual({})
    // A cache must not give this answer to the portal.
    expect(list.headers.get('vary')).toContain('Origin')
  })

  test.for(['/', '/login', '/api/v2/oidcp', '/api/v2/iam/access_token', '/ca/ca.pem', '/metrics'])(
    'never for %s',
    async (path) => {
      const { url } = open()
      expect(corsHeadersOf(await preflight(url, path, PORTAL, 'GET'))).toEqual({})
      const got = await fetch(`${url}${path}`, { headers: { origin: PORTAL }, redirect: 'manual' })
      expect(corsHeadersOf(got)).toEqual({})
    },
  )
})

test.for([
  ['https://portal.example.org', true],
  ['https://portal.example.org:8443', true],
  ['http://localhost:3000', true],
  ['http://127.0.0.1', true],
  ['http://portal.example.org', false],
  ['https://portal.example.org/', false],
  ['https://portal.example.org/app', false],
  ['https://portal.example.org:443', false],
  ['https://Portal.example.org', false],
  ['https://*.example.org', false],
  ['*', false],
  ['null', false],
  ['', false],
] as const)('cors_origins: %s %s', ([text, isAllowed]) => {
  expect(isOrigin(text)).toBe(isAllowed)
})

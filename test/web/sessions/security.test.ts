import { readFileSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import express from 'express'
import request from 'supertest'
import { beforeAll, describe, expect, test } from 'vitest'
import { webSettings } from '../../../src/config/web-schema.ts'
import { clearCookie, readCookie, setCookie } from '../../../src/web/sessions/cookies.ts'
import { safeReturnPath } from '../../../src/web/login/state.ts'
import { CONTENT_SECURITY_POLICY } from '../../../src/web/sessions/security.ts'
import type { Site } from '../../../src/web/site.ts'
import { rawRequest } from '../../api/support.ts'
import { useTestService } from '../../support/service.ts'
import { Browser, fieldsOf, withLogin } from '../support.ts'

const service = useTestService(withLogin())

/** Asks for a target as it stands, which a URL would tidy up. */
function requestTarget(path: string, host: string): Promise<IncomingMessage> {
  const { port, hostname } = new URL(service().url)
  return new Promise((resolve, reject) => {
    const headers = { host, accept: 'text/html' }
    get({ hostname, port, path, headers, agent: false }, (answer) => {
      answer.resume()
      resolve(answer)
    }).on('error', reject)
  })
}
let alice: Browser

beforeAll(async () => {
  alice = new Browser(service())
  await alice.logIn()
})

describe('headers', () => {
  const pages = ['/', '/login', '/services', '/services/proxy', '/credentials', '/delegations']
  const others = ['/login/callback', '/services/none', '/audit']
  const headers = {
    'content-security-policy':
      "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    'x-frame-options': 'DENY',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'same-origin',
    'cache-control': 'no-store',
    'cross-origin-opener-policy': 'same-origin',
    'content-type': 'text/html; charset=utf-8',
  }
  const table = [...pages, ...others].flatMap((path) =>
    Object.entries(headers).map(([name, value]) => ({ path, name, value })),
  )
  test.for(table)('$path has $name', async ({ path, name, value }) => {
    const answer = await alice.ask(path)
    expect(answer.headers.get(name)).toBe(value)
  })

  test('answers to forms have them too, downloads are files', async () => {
    const form = fieldsOf((await alice.ask('/services/proxy')).text, '/services/proxy')
    const result = await alice.ask('/services/proxy', { form })
    const again = await alice.ask('/services/proxy', { form })
    const foreign = await alice.ask('/services/proxy', { form: {} })
    expect([result.status, again.status, foreign.status]).toEqual([200, 409, 403])
    for (const answer of [result, again, foreign])
      expect(Object.fromEntries(answer.headers)).toMatchObject(headers)
    const file = await alice.ask('/download', { form: fieldsOf(result.text, '/download') })
    expect(Object.fromEntries(file.headers)).toMatchObject({
      ...headers,
      'content-type': 'application/octet-stream',
      'content-disposition': 'attachment; filename="gwms_proxy"',
    })
  })

  test.for(pages)('%s has no inline code and nothing from elsewhere', async (path) => {
    // Who is logged in is led on from the choice of a provider.
    const user = path === '/login' ? new Browser(service()) : alice
    const { status, text } = await user.ask(path)
    expect(status).toBe(200)
    expect(text).not.toMatch(/<style|\sstyle=|\son\w+=|javascript:/i)
    expect(text.match(/<script[^>]*>/g)).toEqual([expect.stringMatching(/src="\/assets\/page-/)])
    for (const [, target = ''] of text.matchAll(/(?:src|href|action)="([^"]*)"/g))
      expect(target).toMatch(/^(\/(?!\/)|#)/)
    expect(CONTENT_SECURITY_POLICY).not.toContain('unsafe')
  })

  test('what pages refer to is there, for ever and for everybody', async () => {
    const { text } = await alice.ask('/')
    const paths = [...text.matchAll(/"(\/assets\/[^"]+)"/g)].map(([, path = '']) => path)
    expect(paths).toHaveLength(3)
    for (const path of paths) {
      const { status, headers: found } = await new Browser(service()).ask(path)
      expect([status, found.get('cache-control')]).toEqual([
        200,
        'public, max-age=31536000, immutable',
      ])
      expect(found.get('x-content-type-options')).toBe('nosniff')
    }
  })

  test('a client that prefers JSON gets the answer of the API at /', async () => {
    const headers = { accept: 'application/json' }
    const answer = await rawRequest(`${service().url}/`, { method: 'GET', headers })
    expect([answer.status, answer.headers['content-type']]).toEqual([
      404,
      'application/problem+json; charset=utf-8',
    ])
  })
})

describe('cookies', () => {
  const cookiesOf = async (publicUrl: string): Promise<string[]> => {
    const site: Pick<Site, 'publicUrl' | 'settings'> = {
      publicUrl: () => new URL(publicUrl),
      settings: webSettings.parse({}),
    }
    const app = express().get('/', (_request, response) => {
      setCookie(site as Site, response, { name: 'session', value: 'v' })
      setCookie(site as Site, response, { name: 'login', value: 'w', maxAgeSeconds: 9 })
      clearCookie(site as Site, response, 'login')
      response.end()
    })
    const { headers } = await request(app).get('/')
    return headers['set-cookie'] as unknown as string[]
  }

  test('by https', async () => {
    expect(await cookiesOf('https://tts.example.org')).toEqual([
      '__Host-tts_session=v; Path=/; HttpOnly; SameSite=Lax; Secure',
      '__Host-tts_login=w; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=9',
      '__Host-tts_login=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0',
    ])
  })

  test('by https, under a path', async () => {
    expect(await cookiesOf('https://www.example.org/site/tts/')).toEqual([
      '__Secure-tts_session=v; Path=/site/tts; HttpOnly; SameSite=Lax; Secure',
      '__Secure-tts_login=w; Path=/site/tts; HttpOnly; SameSite=Lax; Secure; Max-Age=9',
      '__Secure-tts_login=; Path=/site/tts; HttpOnly; SameSite=Lax; Secure; Max-Age=0',
    ])
  })

  test('on this machine by http', async () => {
    expect(await cookiesOf('http://127.0.0.1:8080')).toContain(
      'tts_session=v; Path=/; HttpOnly; SameSite=Lax',
    )
  })

  test.for([
    ['tts_session=abc', 'abc'],
    ['a=b; tts_session=abc; c=d', 'abc'],
    ['xtts_session=abc', undefined],
    ['tts_session=abc; tts_session=def', undefined],
    ['tts_session=a b', undefined],
    [`tts_session=${'a'.repeat(2000)}`, undefined],
    ['tts_session=', undefined],
  ] as const)('%s is read as %s', ([header, value]) => {
    const site = { publicUrl: () => new URL('http://127.0.0.1/') } as Site
    const asked = { get: () => header } as unknown as express.Request
    expect(readCookie(site, asked, 'session')).toBe(value)
  })

  test('that of the session holds nothing but chance', async () => {
    const value = alice.cookie('tts_session') ?? ''
    expect(value).toMatch(/^[\w-]{43}$/)
    expect((await alice.ask('/services')).text).not.toContain(value)
  })
})

describe('forms of other pages', () => {
  const send = async (
    change: Record<string, string>,
    headers: Record<string, string>,
  ): Promise<number> => {
    const { text } = await alice.ask('/services/proxy')
    const form = { ...fieldsOf(text, '/services/proxy'), ...change }
    const { status } = await alice.ask('/services/proxy', { form, headers })
    return status
  }
  const rows = [
    { name: 'ours', form: {}, headers: {}, status: 200 },
    {
      name: 'ours, as browsers send it',
      form: {},
      headers: { 'sec-fetch-site': 'same-origin', origin: 'null' },
      status: 200,
    },
    { name: 'no token', form: { form_token: '' }, headers: {}, status: 403 },
    { name: 'a wrong token', form: { form_token: 'A'.repeat(43) }, headers: {}, status: 403 },
    { name: 'another site', form: {}, headers: { 'sec-fetch-site': 'cross-site' }, status: 403 },
    { name: 'a sister site', form: {}, headers: { 'sec-fetch-site': 'same-site' }, status: 403 },
    { name: 'nobody', form: {}, headers: { 'sec-fetch-site': 'none' }, status: 403 },
    { name: 'another origin', form: {}, headers: { origin: 'https://evil.org' }, status: 403 },
    { name: 'the origin null', form: {}, headers: { origin: 'null' }, status: 403 },
    { name: 'another form', form: { form_id: 'x' }, headers: {}, status: 409 },
  ]
  test.for(rows)('$name: $status', async ({ form, headers, status }) => {
    expect(await send(form as Record<string, string>, headers as Record<string, string>)).toBe(
      status,
    )
  })

  test('the token of another session', async () => {
    const bob = new Browser(service())
    const { text } = await bob.logIn('bob')
    const { form_token: token = '' } = fieldsOf(text, '/logout')
    expect(await send({ form_token: token }, {})).toBe(403)
  })

  test.for(['/logout', '/download', '/services/proxy', '/delegations'])(
    '%s does nothing without token, and nothing by GET',
    async (path) => {
      expect((await alice.ask(path, { form: {} })).status).toBe(403)
      if (path === '/logout' || path === '/download')
        expect((await alice.ask(path)).status).toBe(405)
      expect((await alice.ask('/services')).status).toBe(200)
    },
  )

  const id = '9e499e0e-ce25-485b-9353-d19726fd287a'
  const actions = [
    '/logout',
    '/download',
    '/services/proxy',
    '/delegations',
    '/access-token',
    '/myproxy-code',
    '/audit/ban',
    '/audit/lift',
    `/credentials/${id}/revoke`,
    `/delegations/${id}/revoke`,
  ]
  test('all forms of the page are among these', () => {
    const source = readFileSync(new URL('../../../src/web/routes.ts', import.meta.url), 'utf8')
    const found = [...source.matchAll(/^ {2}post\('([^']+)'/gm)].map(([, path = '']) => path)
    const known = actions.map((path) => path.replace(id, ':id').replace('/proxy', '/:id'))
    // /oidc acts like a link: the browser goes to the provider, or to the choice of providers.
    expect(found.toSorted()).toEqual([...known, '/oidc'].toSorted())
  })
  const senders = [
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'none' },
    { origin: 'https://evil.org' },
    { origin: 'null' },
  ]
  const attempts = actions.flatMap((path) => senders.map((headers) => ({ path, headers })))
  test.for(attempts)('$path, with the right token, from $headers', async ({ path, headers }) => {
    const { text } = await alice.ask('/services')
    const form = fieldsOf(text, '/logout')
    const answer = await alice.ask(path, { form, headers })
    expect(answer.status).toBe(403)
    expect((await alice.ask('/services')).status).toBe(200)
  })

  test('a form that is no form', async () => {
    const answer = await alice.ask('/logout', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    })
    expect(answer.status).toBe(415)
  })

  test('the same form twice brings one credential', async () => {
    const { text } = await alice.ask('/services/proxy')
    const form = fieldsOf(text, '/services/proxy')
    const statuses = await Promise.all(
      [1, 2].map(async () => (await alice.ask('/services/proxy', { form })).status),
    )
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 409])
  })

  test('the API takes the cookie from our pages alone', async () => {
    const cookie = `tts_session=${alice.cookie('tts_session')}`
    const statusFor = async (site: string): Promise<number> => {
      const headers = { cookie, 'sec-fetch-site': site, accept: 'application/json' }
      return (await fetch(`${service().url}/api/v2/iam/access_token`, { headers })).status
    }
    expect(await statusFor('same-origin')).toBe(200)
    expect(await statusFor('cross-site')).toBe(401)
  })
})

describe('where a login leads', () => {
  const hostile = [
    '//evil.org',
    '/\\evil.org',
    '\\\\evil.org',
    'https:evil.org',
    'https://evil.org',
    'javascript:alert(1)',
    '%2f%2fevil.org',
    '/%2f%2fevil.org',
    '/services//evil.org',
    '/services/../../evil',
    '/services?x=//evil.org',
    '/services#x',
    '/services\r\nSet-Cookie: a=b',
    '/services\n',
    '/services/..',
    '/services/.hidden',
    ' /services',
    '/logout',
    '/login/start',
    '/login/callback',
    '',
  ]
  test.for(hostile)('not to %j', async (path) => {
    expect(safeReturnPath(path)).toBeUndefined()
    const browser = new Browser(service())
    const page = await browser.logIn('alice', encodeURIComponent(path))
    expect(page.path).toBe('/services')
    expect(browser.lines.filter((line) => !/^(tts_|_interaction|_session)/.test(line))).toEqual([])
  })

  test.for(['/services', '/services/proxy', '/credentials', '/delegations', '/audit'])(
    'to %s',
    (path) => {
      expect(safeReturnPath(path)).toBe(path)
    },
  )

  test('who is not logged in comes back to the page', async () => {
    const browser = new Browser(service())
    const refused = await browser.ask('/services/x509')
    expect(refused.status).toBe(303)
    const choice = await browser.ask(refused.headers.get('location') ?? '')
    const [, link = ''] = /href="(\/login\/start[^"]*)"/.exec(choice.text) ?? []
    const page = await browser.follow(link.replaceAll('&#38;', '&'), 'alice')
    expect(page.path).toBe('/services/x509')
  })

  test.for([
    ['/login?return=//evil.org', '/services'],
    ['/login?return=https://evil.org', '/services'],
    ['/login?return=/delegations', '/delegations'],
    ['/login?return=/delegations&return=//evil.org', '/services'],
    ['/login?return[]=//evil.org', '/services'],
  ] as const)('who is logged in is led from %s to %s', async ([path, location]) => {
    const browser = new Browser(service())
    await browser.logIn()
    const { status, headers } = await browser.ask(path)
    expect([status, headers.get('location')]).toEqual([303, location])
  })

  test.for([
    '//evil.org/',
    '//evil.org/services',
    '/\\evil.org',
    '/services//evil.org',
    '/%2f%2fevil.org',
  ])('the address %s leads nowhere, by either name of this machine', async (path) => {
    const { host } = new URL(service().url)
    for (const name of [host, host.replace('127.0.0.1', 'localhost')]) {
      const { statusCode: status, headers } = await requestTarget(path, name)
      const location = headers.location ?? ''
      expect([name, status, new URL(location, service().url).origin]).toEqual([
        name,
        location === '' ? 404 : 307,
        service().url,
      ])
    }
  })

  test('a Host of others leads nowhere', async () => {
    const { headers, status } = await rawRequest(`${service().url}/login/start?provider=iam`, {
      method: 'GET',
      headers: { host: 'evil.org', accept: 'text/html' },
    })
    expect(status).toBe(303)
    const redirect = new URL(headers.location ?? '').searchParams.get('redirect_uri')
    expect(redirect).toBe(`${service().url}/login/callback`)
  })

  test('localhost and 127.0.0.1 are one', async () => {
    const host = new URL(service().url).host.replace('127.0.0.1', 'localhost')
    const { headers, status } = await rawRequest(`${service().url}/login?return=%2Fservices`, {
      method: 'GET',
      headers: { host, accept: 'text/html' },
    })
    expect([status, headers.location]).toEqual([307, `${service().url}/login?return=%2Fservices`])
  })
})

/** The page behind a reverse proxy that gives it a path of its own: https://www.example.org/site/tts. */
import type { Browser as Chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readPem } from '../../ca/pem.ts'
import { configurationSchema } from '../../src/config/schema.ts'
import { isSiteUrl } from '../../src/config/value-checks.ts'
import { chromiumPackages, seriousFindings, startChromium } from '../support/chromium.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { type ReverseProxy, startReverseProxy } from '../support/reverse-proxy.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { rawRequest } from '../api/support.ts'
import { Browser, fieldsOf, withLogin } from './support.ts'

const BASE = '/site/tts'

interface Behind {
  readonly service: TestService
  readonly proxy: ReverseProxy
}

async function startBehind(
  origin: (proxy: ReverseProxy) => { readonly public: string; readonly registered: string },
  tlsName?: string,
): Promise<Behind> {
  const proxy = await startReverseProxy({
    path: BASE,
    ...(tlsName === undefined ? {} : { tlsName }),
  })
  const { public: publicUrl, registered } = origin(proxy)
  const operators = { allow: [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }] }
  const { identityProvider, ...options } = withLogin({
    listen: { port: 0, public_url: `${publicUrl}${BASE}/` },
    web: { operators },
  })
  const service = await startTestService({
    ...options,
    identityProvider: {
      ...identityProvider,
      redirectUris: [`${registered}${BASE}/login/callback`],
    },
  })
  proxy.forwardTo(service.url)
  return { service, proxy }
}

describe('under a path', () => {
  let behind: Behind
  let origin = ''
  let alice: Browser
  beforeAll(async () => {
    behind = await startBehind(({ port }) => {
      origin = `http://127.0.0.1:${port}`
      return { public: origin, registered: 'http://127.0.0.1' }
    })
    alice = new Browser({ url: origin })
    const page = await alice.follow(`${BASE}/login/start?provider=iam&return=/services`, 'alice')
    expect([page.status, page.path]).toEqual([200, `${BASE}/services`])
  })
  afterAll(async () => {
    await behind?.proxy.stop()
    await behind?.service.stop()
  })

  test('nothing is served beside it', async () => {
    expect((await alice.ask('/services')).text).toBe('elsewhere')
  })

  const pages = [
    '/',
    '/services',
    '/services/proxy',
    '/credentials',
    '/delegations',
    '/audit',
    '/audit?outcome=refused',
    '/services/none',
    '/login/callback',
  ]
  test.for(pages)('%s keeps to it', async (path) => {
    const { text } = await alice.ask(`${BASE}${path}`)
    const targets = [...text.matchAll(/(?:src|href|action)="([^"]*)"/g)]
    expect(targets.length).toBeGreaterThan(8)
    for (const [, target = ''] of targets) expect(target).toMatch(/^(\/site\/tts\/|#)/)
  })

  test('what pages refer to is there', async () => {
    const { text } = await alice.ask(`${BASE}/`)
    const targets = [...text.matchAll(/(?:src|href)="(\/[^"]*)"/g)].map(([, path = '']) => path)
    for (const path of targets) {
      const headers = path.endsWith('/audit') ? {} : { accept: '*/*' }
      const wanted = path.endsWith('/tts/') ? {} : { headers }
      expect([path, (await alice.ask(path, wanted)).status]).toEqual([path, 200])
    }
  })

  test('commands name it', async () => {
    const { text } = await alice.ask(`${BASE}/`)
    expect(text).toContain(`${origin}${BASE}/v1/proxies -o`)
    expect(text).toContain(`tts proxy init --url ${origin}${BASE}/<`)
  })

  test('cookies are of it alone', () => {
    const ours = alice.lines.filter((line) => line.startsWith('tts_'))
    expect(ours.map((line) => line.split(';')[0]?.split('=')[0])).toEqual([
      'tts_login',
      'tts_login',
      'tts_session',
    ])
    for (const line of ours) expect(line.split('; ')).toContain(`Path=${BASE}`)
  })

  test('who is not logged in comes back to the page', async () => {
    const browser = new Browser({ url: origin })
    const sent = await browser.ask(`${BASE}/delegations`)
    expect([sent.status, sent.headers.get('location')]).toEqual([
      303,
      `${BASE}/login?return=%2Fdelegations`,
    ])
    const choice = await browser.ask(sent.headers.get('location') ?? '')
    const [, link = ''] = /href="(\/site\/tts\/login\/start[^"]*)"/.exec(choice.text) ?? []
    const page = await browser.follow(link.replaceAll('&#38;', '&'), 'alice')
    expect([page.status, page.path]).toEqual([200, `${BASE}/delegations`])
    const again = await browser.ask(`${BASE}/login?return=%2Fcredentials`)
    expect(again.headers.get('location')).toBe(`${BASE}/credentials`)
  })

  test.for([`${BASE}/services`, '/site/tts', '//evil.org'])(
    'a login does not lead to %s',
    async (path) => {
      const browser = new Browser({ url: origin })
      const back = encodeURIComponent(path)
      const page = await browser.follow(`${BASE}/login/start?provider=iam&return=${back}`, 'alice')
      expect(page.path).toBe(`${BASE}/services`)
    },
  )

  test('request, download, revoke, log out', async () => {
    const action = `${BASE}/services/proxy`
    const form = fieldsOf((await alice.ask(action)).text, action)
    const result = await alice.ask(action, { form, headers: { origin } })
    expect(result.status, result.text).toBe(200)
    const download = fieldsOf(result.text, `${BASE}/download`)
    const file = await alice.ask(`${BASE}/download`, { form: download })
    expect(readPem(file.text, 'test').map(({ label }) => label)).toContain('CERTIFICATE')

    const list = await alice.ask(`${BASE}/credentials`)
    const [, revoke = ''] = /href="(\/site\/tts\/credentials\/[0-9a-f-]{36}\/revoke)"/.exec(
      list.text,
    ) ?? ['']
    const confirm = await alice.ask(revoke)
    const done = await alice.ask(revoke, { form: fieldsOf(confirm.text, revoke) })
    expect([done.status, done.headers.get('location')]).toEqual([
      303,
      `${BASE}/credentials?done=revoked`,
    ])

    const leave = `${BASE}/logout`
    const left = await alice.ask(leave, { form: fieldsOf(confirm.text, leave) })
    expect([left.status, left.headers.get('location')]).toEqual([303, `${BASE}/`])
    expect(alice.cookie('tts_session')).toBeUndefined()
  })

  test('the type of an error resolves to its page', async () => {
    const { text } = await alice.ask(`${BASE}/v1/credentials`)
    const { type } = JSON.parse(text) as { type: string }
    expect(type).toBe(`${origin}${BASE}/problems/missing_token`)
    const page = await alice.ask(new URL(type).pathname)
    expect([page.status, page.text]).toEqual([200, expect.stringContaining('missing_token')])
    const index = await alice.ask(`${BASE}/problems`)
    expect(index.text).toContain(`href="${type}"`)
    const tooLarge = await rawRequest(behind.service.url, { headers: { x: 'x'.repeat(40_000) } })
    expect(JSON.parse(tooLarge.text)).toMatchObject({
      type: `${origin}${BASE}/problems/invalid_request`,
    })
  })

  test('clients of the WaTTS API are led to it', async () => {
    const { text } = await alice.ask(`${BASE}/api/v2/info`, {
      headers: { accept: 'application/json' },
    })
    expect(JSON.parse(text)).toMatchObject({ redirect_path: `${BASE}/oidc` })
  })
})

describeWithTools('under a path, by https, in Chromium', chromiumPackages, () => {
  const HOST = 'www.example.org'
  const SITE = `https://${HOST}${BASE}`
  let behind: Behind
  let browser: Chromium
  beforeAll(async () => {
    const origin = `https://${HOST}`
    behind = await startBehind(() => ({ public: origin, registered: origin }), HOST)
    browser = await startChromium(`MAP ${HOST}:443 127.0.0.1:${behind.proxy.port}`)
  })
  afterAll(async () => {
    await browser?.close()
    await behind?.proxy.stop()
    await behind?.service.stop()
  })

  test('login, request, logout; the cookie is of this path', { timeout: 60_000 }, async () => {
    const context = await browser.newContext({ ignoreHTTPSErrors: true })
    context.setDefaultTimeout(10_000)
    const page = await context.newPage()
    const complaints: string[] = []
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text())
    })
    await page.goto(`${SITE}/`)
    await page.getByRole('link', { name: 'Log in with Demo IAM' }).click()
    await page.getByRole('button', { name: 'Alice Example' }).click()
    await page.waitForURL(`${SITE}/services`)
    const cookies = await context.cookies(SITE)
    expect(cookies.find(({ name }) => name.endsWith('session'))).toMatchObject({
      name: '__Secure-tts_session',
      path: BASE,
      domain: HOST,
      secure: true,
      httpOnly: true,
      sameSite: 'Lax',
    })
    expect(await context.cookies(`https://${HOST}/other`)).toEqual([])
    await page.getByRole('link', { name: 'Request: Proxy' }).click()
    await page.getByRole('button', { name: 'Request' }).click()
    await page.getByText('This page is shown only once').waitFor()
    expect(await seriousFindings(page)).toEqual([])
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.waitForURL(`${SITE}/`)
    expect(await context.cookies(SITE)).toEqual([])
    expect(complaints).toEqual([])
    await context.close()
  })
})

describe('listen.public_url', () => {
  const secret = 'u:p'
  test.for([
    ['https://tts.example.org', true],
    ['https://tts.example.org/', true],
    ['http://127.0.0.1:8080', true],
    ['https://www.example.org/site/tts', true],
    ['https://www.example.org/site/tts/', true],
    ['https://www.example.org/a.b_c~d-e', true],
    ['https://www.example.org//tts', false],
    ['https://www.example.org/tts//', false],
    ['https://www.example.org/a;Secure', false],
    ['https://www.example.org/a,b', false],
    ['http://[::1]:8080/tts', true],
    ['https://www.example.org/%2e%2e', false],
    ['https://www.example.org/../x', false],
    ['https://www.example.org/a%20b', false],
    ['https://www.example.org/tts?x=1', false],
    ['https://www.example.org/?', false],
    ['https://www.example.org/tts#x', false],
    [`https://${secret}@www.example.org/`, false],
    ['ftp://www.example.org/', false],
    ['javascript:alert(1)', false],
    ['tts.example.org', false],
  ] as const)('%s: %s', ([url, isGood]) => {
    expect(isSiteUrl(url)).toBe(isGood)
    const { error } = configurationSchema.safeParse({ listen: { public_url: url } })
    const problem = error?.issues.find(({ path }) => path.join('.') === 'listen.public_url')
    expect(problem === undefined).toBe(isGood)
  })
})

/** axe on every page that there is, in a real Chromium; a page that is added is missed here, not overlooked. */
import { chmod, cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { chromiumPackages, seriousFindings, startChromium } from '../support/chromium.ts'
import { freePort } from '../support/free-port.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { AUDIENCE, startTestService, type TestService } from '../support/service.ts'
import { withLogin } from './support.ts'

/** Addresses that answer with another page's address or a file. */
const withoutPage = new Set([
  'GET /login/start',
  'GET /oidc',
  'POST /oidc',
  'POST /logout',
  'POST /download',
  'POST /credentials/:id/revoke',
  'POST /delegations/:id/revoke',
  'POST /audit/lift',
])

/** Those of users whom relying services send have a test of their own. */
async function pagesOfSource(): Promise<string[]> {
  const source = await readFile(new URL('../../src/web/routes.ts', import.meta.url), 'utf8')
  return [...source.matchAll(/^ {2}(get|post)\('([^']+)'/gm)]
    .map(([, method = '', path = '']) => `${method.toUpperCase()} ${path}`)
    .filter((page) => !page.includes('/rsp') && !withoutPage.has(page))
}

describeWithTools('every page in Chromium', chromiumPackages, () => {
  let service: TestService
  let other: IdentityProvider
  let browser: Browser
  let directory = ''
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tts-pages-'))
    const program = join(directory, 'wants-login.py')
    const fixtures = fileURLToPath(new URL('../plugins/fixtures', import.meta.url))
    await cp(fixtures, directory, { recursive: true })
    await chmod(program, 0o755)
    other = await startIdentityProvider({ tokens: { includeAuthnInfo: true } })
    const everybody = { allow: [{ provider: 'iam', claims: { sub: { any: true } } }] }
    const cms = { allow: [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }] }
    const { configuration, ...options } = withLogin({
      voms: { host: 'localhost' },
      myproxy: { listen: '127.0.0.1', port: await freePort() },
      web: { operators: cms, contact: 'grid-support@example.org', show_access_token: true },
      services: {
        proxy: { authz: cms },
        x509: { authz: cms },
        linked: {
          plugin: 'executable',
          executable: { command: [program], allow_root: true },
          authz: everybody,
        },
      },
    })
    service = await startTestService({
      ...options,
      configuration: (idp) => {
        if (typeof configuration !== 'function') throw new TypeError('no configuration')
        const made = configuration(idp)
        const client = ({ clients }: IdentityProvider) => ({
          client_id: clients.tts.clientId,
          client_secret: clients.tts.clientSecret,
        })
        const delegation = {
          client_id: idp.clients.certcache.clientId,
          client_secret: idp.clients.certcache.clientSecret,
        }
        const egi = { issuer: other.issuer, description: 'The other one', audiences: [AUDIENCE] }
        const iam = made['providers']?.['iam'] as object
        return {
          ...made,
          providers: { iam: { ...iam, delegation }, egi: { ...egi, ...client(other) } },
        }
      },
    })
    browser = await startChromium()
  })
  afterAll(async () => {
    await browser?.close()
    await service?.stop()
    await other?.close()
    await rm(directory, { recursive: true, force: true })
  })

  /** A user, and what was found on the pages that were looked at. */
  async function visit(
    options: BrowserContextOptions,
    walk: (page: Page, look: () => Promise<void>) => Promise<void>,
  ): Promise<{ readonly findings: readonly string[]; readonly looked: ReadonlySet<string> }> {
    const context = await browser.newContext(options)
    context.setDefaultTimeout(10_000)
    const findings: string[] = []
    const looked = new Set<string>()
    try {
      const page = await context.newPage()
      let current = ''
      page.on('response', (response) => {
        const request = response.request()
        const isHtml = response.headers()['content-type']?.startsWith('text/html') === true
        if (!request.isNavigationRequest() || !isHtml || response.status() === 303) return
        const { pathname } = new URL(response.url())
        const path = pathname
          .replace(/^\/services\/.+/, '/services/:id')
          .replace(/\/[0-9a-f-]{36}\//, '/:id/')
        current = `${request.method()} ${path}`
      })
      await walk(page, async () => {
        looked.add(current)
        const where = `${current}, ${await page.title()}`
        findings.push(...(await seriousFindings(page)).map((line) => `${where}: ${line}`))
        const headings = await page.getByRole('heading', { level: 1 }).count()
        if (headings !== 1) findings.push(`${where}: ${headings} headings`)
        const overhang =
          'document.documentElement.scrollWidth - document.documentElement.clientWidth'
        const pixels = await page.evaluate<number>(overhang)
        if (pixels > 0) findings.push(`${where}: ${pixels} pixels wider than the screen`)
      })
    } finally {
      await context.close()
    }
    return { findings, looked }
  }

  const at = (path: string): string => `${service.url}${path}`

  async function logIn(page: Page, name: string): Promise<void> {
    await page.goto(at('/login?return=%2Fservices'))
    await page.getByRole('link', { name: 'Log in with Demo IAM' }).click()
    await page.getByRole('button', { name }).click()
    await page.waitForURL(at('/services'))
  }

  async function walkAsAlice(page: Page, look: () => Promise<void>): Promise<void> {
    const button = (name: string) => page.getByRole('button', { name, exact: true }).click()
    const go = async (path: string): Promise<void> => {
      await page.goto(at(path))
      await look()
    }
    for (const path of ['/', '/login', '/login/callback?error=x', '/credentials']) await go(path)
    await logIn(page, 'Alice Example')
    for (const path of ['/', '/services', '/credentials', '/delegations', '/services/none'])
      await go(path)
    await page.goto(at('/services'))
    await button('Show issuer, subject and access token')
    await page.getByRole('heading', { name: 'Your access token' }).waitFor()
    await look()
    await page.goto(at('/services'))
    await button('Get a one-time code for myproxy-logon')
    await page.getByRole('heading', { name: 'Your one-time code' }).waitFor()
    await look()
    await go('/services/proxy')
    await page.getByText('More options').click()
    await look()
    await page.getByLabel('Lifetime in hours').fill('a week')
    await button('Request')
    await page.getByRole('alert').waitFor()
    await look()
    await page.getByLabel('Lifetime in hours').fill('12')
    await button('Request')
    await page.getByText('This page is shown only once').waitFor()
    // Not by its text alone: "shown only once" has it too.
    await page.locator('summary').first().click()
    await page.locator('textarea').first().waitFor()
    await look()
    // The same form again.
    await page.reload()
    await page.getByText('this form was already sent', { exact: false }).waitFor()
    await look()
    await page.goto(at('/services/linked'))
    await button('Request')
    await page.getByText('Another login is required').first().waitFor()
    await look()
    await go('/credentials')
    await page.getByRole('link', { name: /^Revoke \d+ prox/ }).click()
    await page.getByRole('heading', { name: 'Revoke this credential?' }).waitFor()
    await look()
    await button('Revoke')
    await look()
    await page.goto(at('/credentials?show=all'))
    await page.getByText('Details').first().click()
    await look()
    await page.goto(at('/delegations'))
    await page.getByLabel('Name').fill('a worker')
    await button('Create a delegation')
    await page.getByText('Renewal secret', { exact: true }).first().waitFor()
    await look()
    await go('/delegations')
    await page.getByRole('link', { name: 'Revoke a worker' }).click()
    await page.getByRole('heading', { name: 'Revoke this delegation?' }).waitFor()
    await look()
    await button('Revoke')
    await page.getByText('Ended or revoked').click()
    await look()
    for (const path of ['/audit', '/audit?outcome=refused']) await go(path)
    await go('/audit/ban?issuer=https%3A%2F%2Fidp.example.org&sub=mallory')
    await page.getByLabel('Reason').fill('stolen laptop')
    await button('Ban')
    await page.getByRole('heading', { name: 'Banned' }).waitFor()
    await look()
    await page.goto(at('/audit'))
    await page.getByText('Bans in force (1)').click()
    await look()
    await button('Lift this ban')
    await page.getByText('Bans in force').waitFor({ state: 'detached' })
  }

  test('axe looks', async () => {
    const page = await browser.newPage()
    await page.setContent('<html lang="en"><title>x</title><input type="text" /></html>')
    expect(await seriousFindings(page)).toEqual(['label: <input type="text">'])
    await page.close()
  })

  const looks: [string, BrowserContextOptions][] = [
    ['light', { colorScheme: 'light' }],
    ['dark, on a phone', { colorScheme: 'dark', viewport: { width: 360, height: 640 } }],
  ]
  test.for(looks)('has nothing serious for axe: %s', { timeout: 90_000 }, async ([, options]) => {
    const { findings, looked } = await visit(options, walkAsAlice)
    expect(findings).toEqual([])
    const pages = await pagesOfSource()
    expect(pages.length).toBeGreaterThan(9)
    expect(pages.filter((page) => !looked.has(page))).toEqual([])
  })

  test('bob, who may not: why is shown, and no way round it', { timeout: 60_000 }, async () => {
    // Something of alice's that he could reach for.
    const issued = await fetch(at('/v1/proxies'), {
      method: 'POST',
      headers: { authorization: `Bearer ${service.token('alice')}` },
    })
    expect(issued.status).toBe(200)
    const [{ id } = { id: '' }] = await service.running.service.store.listCredentials({ limit: 1 })

    const { findings } = await visit({}, async (page, look) => {
      await logIn(page, 'Bob Example')
      const why = 'groups must contain cms (yours: guests)'
      const regions = { proxy: 'Proxy', x509: 'Certificate' }
      for (const [name, region] of Object.entries(regions)) {
        const card = page.getByRole('region', { name: region })
        const text = await card.innerText()
        expect(text).toContain('not available')
        expect(text).toContain(why)
        expect(text).toContain('Questions: grid-support@example.org')
        expect(await card.getByRole('link', { name: /request/i }).count()).toBe(0)
        // By its address there is no form either.
        await page.goto(at(`/services/${name}`))
        expect(await page.getByRole('main').innerText()).toContain(why)
        expect(await page.getByRole('main').getByRole('button').count()).toBe(0)
        await look()
        await page.goto(at('/services'))
      }
      await look()
      expect(await page.getByRole('link', { name: 'Audit' }).count()).toBe(0)
      await page.goto(at('/credentials'))
      expect(await page.getByRole('main').innerText()).not.toContain(id)
      await look()
      for (const path of [`/credentials/${id}/revoke`, '/audit']) {
        const answer = await page.goto(at(path))
        expect([path, answer?.status()]).toEqual([path, 404])
        expect(await page.getByRole('button', { name: 'Revoke' }).count()).toBe(0)
        await look()
      }
    })
    expect(findings).toEqual([])
    const view = await service.running.service.store.findCredential(id)
    expect(view?.revokedAt).toBeUndefined()
  })
})

/**
 * The pictures of docs/web.md. `npm run docs:images` takes them anew; each run of the tests takes them too,
 * elsewhere, to see that it still can, and that the documentation shows them all.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chromiumPackages, startChromium } from '../support/chromium.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { type ReverseProxy, startReverseProxy } from '../support/reverse-proxy.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { recordManyCredentials } from './many-credentials.ts'
import { withLogin } from './support.ts'

const root = resolve(import.meta.dirname, '../..')
const HOST = 'tts.example.org'
const SITE = `https://${HOST}`
const MAX_BYTES = 150_000

const { configuration, ...provider } = withLogin({
  listen: { port: 0, public_url: SITE },
  web: {
    contact: 'grid-support@example.org',
    operators: { allow: [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }] },
  },
  services: {
    proxy: {
      priority: 1,
      description: 'A proxy for jobs and data transfers, as gwms_proxy',
      authz: { allow: [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }] },
    },
    x509: {
      description: 'A certificate with its private key',
      authz: {
        tooltip: 'Ask your group leader for the group cms/admins.',
        allow: [{ provider: 'iam', claims: { groups: { contains: 'cms/admins' } } }],
      },
    },
    claims: {
      plugin: 'info',
      priority: 2,
      description: 'What your identity provider says about you',
      authz: { allow: [{ provider: 'iam', claims: { sub: { any: true } } }] },
    },
  },
})

describeWithTools('pictures', chromiumPackages, () => {
  let service: TestService
  let proxy: ReverseProxy
  let browser: Browser
  let directory = ''
  const wanted = process.env['TTS_SCREENSHOTS']

  beforeAll(async () => {
    directory = wanted ? resolve(wanted) : await mkdtemp(join(tmpdir(), 'tts-pictures-'))
    await mkdir(directory, { recursive: true })
    proxy = await startReverseProxy({ tlsName: HOST })
    service = await startTestService({
      identityProvider: { ...provider.identityProvider, redirectUris: [`${SITE}/login/callback`] },
      configuration: (idp) => {
        if (typeof configuration !== 'function') throw new TypeError('no configuration')
        const made = configuration(idp)
        const { clientId, clientSecret } = idp.clients.certcache
        const delegation = { client_id: clientId, client_secret: clientSecret }
        return {
          ...made,
          providers: { iam: { ...(made['providers']?.['iam'] as object), delegation } },
        }
      },
    })
    proxy.forwardTo(service.url)
    browser = await startChromium(`MAP ${HOST}:443 127.0.0.1:${proxy.port}`)
  })
  afterAll(async () => {
    await browser?.close()
    await service?.stop()
    await proxy?.stop()
    if (!wanted) await rm(directory, { recursive: true, force: true })
  })

  async function withPage(
    options: BrowserContextOptions,
    run: (page: Page, take: (name: string, fullPage?: boolean) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const context = await browser.newContext({
      ignoreHTTPSErrors: true,
      viewport: { width: 960, height: 720 },
      ...options,
    })
    context.setDefaultTimeout(10_000)
    try {
      const page = await context.newPage()
      await run(page, async (name, fullPage = true) => {
        const path = join(directory, `${name}.png`)
        await page.screenshot({ path, fullPage, animations: 'disabled' })
      })
    } finally {
      await context.close()
    }
  }

  async function logIn(page: Page, name: string): Promise<void> {
    await page.goto(SITE)
    await page.getByRole('link', { name: 'Log in with Demo IAM' }).click()
    await page.getByRole('button', { name }).click()
    await page.waitForURL(`${SITE}/services`)
  }

  async function requestProxy(page: Page): Promise<void> {
    await page.goto(`${SITE}/services/proxy`)
    await page.getByRole('button', { name: 'Request' }).click()
    await page.getByText('This page is shown only once').waitFor()
  }

  async function makeDelegation(page: Page): Promise<void> {
    await page.goto(`${SITE}/delegations`)
    await page.getByLabel('Name').fill('pilot factory at Bari')
    await page.getByRole('button', { name: 'Create a delegation' }).click()
    await page.getByText('Renewal secret', { exact: true }).first().waitFor()
  }

  test('of each page', { timeout: 120_000 }, async () => {
    await withPage({}, async (page, take) => {
      await page.goto(SITE)
      await take('start')
      await logIn(page, 'Alice Example')
      await take('services')
      await page.goto(`${SITE}/credentials`)
      await take('credentials-none')
      await page.goto(`${SITE}/services/proxy`)
      await page.getByLabel('Lifetime in hours').fill('a week')
      await page.getByRole('button', { name: 'Request' }).click()
      await page.getByRole('alert').waitFor()
      await take('request-refused')
      await requestProxy(page)
      await take('result')
      await makeDelegation(page)
      await page.goto(`${SITE}/delegations`)
      await take('delegations')
      await page.goto(`${SITE}/credentials`)
      await take('credentials')
      await page.getByRole('link', { name: /^Revoke \d+ prox/ }).click()
      await take('revoke')
      await page.goto(`${SITE}/services/none`)
      await take('error')
      await page.goto(`${SITE}/audit`)
      await take('audit', false)
    })
    const phone = { viewport: { width: 390, height: 780 }, colorScheme: 'dark' } as const
    await withPage(phone, async (page, take) => {
      await logIn(page, 'Bob Example')
      await take('phone-dark')
      await recordManyCredentials(service, service.provider.user('bob').sub)
      await page.goto(`${SITE}/credentials`)
      await take('credentials-many-phone', false)
    })
    await withPage({}, async (page, take) => {
      await logIn(page, 'Bob Example')
      await page.goto(`${SITE}/credentials`)
      await take('credentials-many', false)
    })
    await withPage({ colorScheme: 'dark' }, async (page, take) => {
      await logIn(page, 'Alice Example')
      await requestProxy(page)
      await take('dark')
    })
    const names = await readdir(directory)
    expect(names).toHaveLength(14)
    for (const name of names) {
      const { size } = await stat(join(directory, name))
      expect(size, name).toBeLessThan(MAX_BYTES)
      expect(size, name).toBeGreaterThan(5000)
    }
    const documented = await readFile(join(root, 'docs/web.md'), 'utf8')
    const shown = [...documented.matchAll(/!\[[^\]]{10,}\]\(images\/([\w-]+\.png)\)/g)]
    const byName = (one: string, other: string): number => one.localeCompare(other)
    expect(shown.map(([, name = '']) => name).toSorted(byName)).toEqual(names.toSorted(byName))
    expect((await readdir(join(root, 'docs/images'))).toSorted(byName)).toEqual(
      names.toSorted(byName),
    )
  })
})

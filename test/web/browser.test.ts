/** The web page in a real browser, with script and without, by those who may and those who may not. */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chromiumPackages, seriousFindings, startChromium } from '../support/chromium.ts'
import { gridProxyInfo } from '../support/grid-checks.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { useTestService } from '../support/service.ts'
import { withLogin } from './support.ts'

const ca = { key_kind: 'ec-p256', end_entity_key_kind: 'rsa-2048' }

describeWithTools('in Chromium', [...chromiumPackages, 'globus-proxy-utils'], () => {
  const service = useTestService(withLogin({ ca }))
  let browser: Browser
  let directory = ''
  beforeAll(async () => {
    browser = await startChromium()
    directory = await mkdtemp(join(tmpdir(), 'tts-chromium-'))
  })
  afterAll(async () => {
    await browser.close()
    await rm(directory, { recursive: true, force: true })
  })

  /** A person's own browser window; afterwards nothing may have been refused by the policy of our pages. */
  async function withPage(
    options: BrowserContextOptions,
    run: (page: Page) => Promise<void>,
  ): Promise<void> {
    const context = await browser.newContext(options)
    context.setDefaultTimeout(10_000)
    try {
      const page = await context.newPage()
      const complaints: string[] = []
      page.on('console', (message) => {
        // Chromium also says when a page has a status of 400 and above; those are asked for here.
        const isStatus = message.text().startsWith('Failed to load resource: the server responded')
        if (message.type() === 'error' && !isStatus) complaints.push(message.text())
      })
      page.on('pageerror', (error) => complaints.push(error.message))
      await run(page)
      expect(complaints).toEqual([])
    } finally {
      await context.close()
    }
  }

  async function logIn(page: Page, name: string): Promise<void> {
    await page.goto(service().url)
    await page.getByRole('link', { name: 'Log in with Demo IAM' }).click()
    await page.getByRole('button', { name }).click()
    await page.waitForURL(`${service().url}/services`)
  }

  /** Takes a proxy, and answers where its file is. */
  async function takeProxy(page: Page, file: string): Promise<string> {
    await page.getByRole('link', { name: 'Request: Proxy' }).click()
    await page.getByRole('button', { name: 'Request' }).click()
    await page.getByText('This page is shown only once').waitFor()
    const downloading = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Download gwms_proxy' }).click()
    const download = await downloading
    expect(download.suggestedFilename()).toBe('gwms_proxy')
    const path = join(directory, file)
    await download.saveAs(path)
    await chmod(path, 0o600)
    return path
  }

  async function expectProxy(proxyPath: string): Promise<void> {
    const { status, output } = await gridProxyInfo({ proxyPath, trustAnchorDir: directory })
    expect({ status, output }).toMatchObject({ status: 0 })
    expect(output).toContain('type     : RFC 3820 compliant impersonation proxy\n')
    expect(output).toContain(`CN=${service().provider.user('alice').sub}@indigo-iam-test\n`)
  }

  async function revokeAll(page: Page): Promise<void> {
    await page.getByRole('link', { name: 'Issued to you', exact: true }).click()
    await page
      .getByRole('link', { name: /^Revoke \d+ prox/ })
      .first()
      .click()
    await page.getByRole('heading', { name: 'Revoke this credential?' }).waitFor()
    await page.getByRole('button', { name: 'Revoke', exact: true }).click()
    await page.getByText('You have no valid credential').waitFor()
  }

  test.for([true, false])(
    'alice takes a proxy, revokes it and logs out; with script: %s',
    { timeout: 60_000 },
    async (javaScriptEnabled) => {
      await withPage({ javaScriptEnabled }, async (page) => {
        await logIn(page, 'Alice Example')
        await expectProxy(await takeProxy(page, `proxy-${javaScriptEnabled}`))
        const copyButtons = page.locator('[data-copy]:visible')
        expect(await copyButtons.count()).toBe(javaScriptEnabled ? 2 : 0)
        await revokeAll(page)
        await page.getByRole('button', { name: 'Log out' }).click()
        await page.waitForURL(`${service().url}/`)
        await page.goto(`${service().url}/credentials`)
        expect(new URL(page.url()).pathname).toBe('/login')
      })
    },
  )

  test('cookies are out of the reach of scripts, and nothing secret is in an address', async () => {
    await withPage({}, async (page) => {
      const addresses: string[] = []
      page.on('request', (request) => addresses.push(request.url()))
      await logIn(page, 'Alice Example')
      await takeProxy(page, 'addresses')
      expect(await page.evaluate('document.cookie')).toBe('')
      const cookies = await page.context().cookies(service().url)
      const session = cookies.find(({ name }) => name === 'tts_session')
      expect(session).toMatchObject({ httpOnly: true, sameSite: 'Lax', path: '/', expires: -1 })
      expect(addresses.filter((url) => url.includes(session?.value ?? ''))).toEqual([])
      expect(
        addresses.filter((url) => /-----BEGIN|eyJ[\w-]+\.[\w-]+|form_token/.test(url)),
      ).toEqual([])
    })
  })

  test('bob is told why there is no proxy for him', async () => {
    await withPage({}, async (page) => {
      await logIn(page, 'Bob Example')
      const card = page.getByRole('region', { name: 'proxy' })
      expect(await card.innerText()).toContain('groups must contain cms (yours: guests)')
      expect(await card.getByRole('link').count()).toBe(0)
      expect(await seriousFindings(page)).toEqual([])
    })
  })

  test('works by the keyboard alone', async () => {
    await withPage({}, async (page) => {
      await logIn(page, 'Alice Example')
      await page.keyboard.press('Tab')
      expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to content')
      await page.keyboard.press('Enter')
      await page.keyboard.press('Tab')
      expect(await page.evaluate('document.activeElement.getAttribute("aria-label")')).toBe(
        'Request: Proxy',
      )
      await page.keyboard.press('Enter')
      await page.getByLabel('Lifetime in hours').press('Enter')
      await page.getByText('This page is shown only once').waitFor()
    })
  })
})

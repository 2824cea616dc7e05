/**
 * The way of a user between two sites in a real browser: what it tells of where it was, which cookies it takes along.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chromiumPackages, seriousFindings, startChromium } from '../support/chromium.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { withLogin } from '../web/support.ts'
import { jwkSet, makeKey, signed, type Site } from './support.ts'

describeWithTools('in Chromium', [...chromiumPackages], () => {
  let browser: Browser
  let service: TestService
  let portal: Server
  let site: Site
  const key = makeKey('key-1')
  /** The one page of the site, as the test has it. */
  let page = ''
  let hostile = ''

  beforeAll(async () => {
    browser = await startChromium()
    portal = createServer((request, response) => {
      const isKeys = request.url === '/jwk'
      response.writeHead(200, { 'content-type': isKeys ? 'application/json' : 'text/html' })
      response.end(isKeys ? JSON.stringify(jwkSet([key])) : page)
    }).listen(0)
    await new Promise((resolve) => portal.once('listening', resolve))
    const { port } = portal.address() as AddressInfo
    // To a browser two sites, and this service is at a third address of the one of them.
    hostile = `http://127.0.0.1:${port}`
    const url = `http://localhost:${port}`
    const published = { keys: [key], status: 200, asked: 0, hang: false }
    site = { url, key, published, close: async () => undefined }
    const common = { keys_location: `${url}/jwk`, base_url: `${url}/app` }
    const sites = ['portal', 'silent']
    const allow = sites.map((id) => ({ provider: `rsp-${id}`, claims: { sub: { any: true } } }))
    service = await startTestService(
      withLogin({
        services: { info: { plugin: 'info', authz: { allow } } },
        relying_services: {
          portal: { ...common, description: 'Portal' },
          silent: { ...common, base_url: `${hostile}/app`, show_ui: false },
        },
      }),
    )
  })
  afterAll(async () => {
    await browser.close()
    await service.stop()
    portal.closeAllConnections()
    await new Promise((resolve) => portal.close(resolve))
  })

  async function withPage(run: (page: Page) => Promise<void>): Promise<void> {
    const context = await browser.newContext()
    context.setDefaultTimeout(10_000)
    try {
      await run(await context.newPage())
    } finally {
      await context.close()
    }
  }

  const link = async (iss: string, from = site): Promise<string> =>
    `${service.url}/rsp/${await signed(from, { claims: { iss, watts_provider: 'iam' } })}`
  const failures = async () => {
    const [line] = await service.running.service.store.listAudit({ limit: 1 })
    return line?.check
  }

  test('from the site over the login to the credential, and back', async () => {
    page = `<a href="${await link('portal')}">credential</a>`
    await withPage(async (tab) => {
      await tab.goto(`${site.url}/app/start`)
      await tab.getByRole('link', { name: 'credential' }).click()
      await tab.getByRole('button', { name: 'alice' }).click()
      await tab.waitForURL(`${service.url}/rsp/request`)
      expect(await seriousFindings(tab)).toEqual([])
      await tab.getByRole('button', { name: 'Continue' }).click()
      await tab.getByText('This page is shown only once').waitFor()
      expect(await seriousFindings(tab)).toEqual([])
      await tab.getByRole('link', { name: 'Back to Portal' }).first().click()
      await tab.waitForURL(`${site.url}/app/done`)
    })
  })

  test('without pages: a click, a login, and back', async () => {
    // The pages of the demo provider let nobody lead from them to the other name (their policy's form-action).
    const here = { ...site, url: hostile }
    page = `<a href="${await link('silent', here)}">credential</a>`
    await withPage(async (tab) => {
      await tab.goto(`${hostile}/app/start`)
      await tab.getByRole('link', { name: 'credential' }).click()
      await tab.getByRole('button', { name: 'alice' }).click()
      await tab.waitForURL(`${hostile}/app/done`)
    })
  })

  test('from a page of another site: refused, framed or followed, with a Referer or without', async () => {
    const url = await link('portal')
    page = `<a href="${url}">plain</a> <a rel="noreferrer" href="${url}">quiet</a><iframe src="${url}"></iframe>`
    await withPage(async (tab) => {
      await tab.goto(`${hostile}/`)
      await tab.waitForLoadState('networkidle')
      expect(await failures()).toBe('navigation')
      for (const name of ['plain', 'quiet']) {
        await tab.goto(`${hostile}/`)
        await tab.getByRole('link', { name }).click()
        await tab.getByText('header Referer').waitFor()
        expect(await seriousFindings(tab)).toEqual([])
        expect(await failures()).toBe('referer')
      }
    })
    // None of it used the request up.
    page = `<a href="${url}">credential</a>`
    await withPage(async (tab) => {
      await tab.goto(`${site.url}/app/start`)
      await tab.getByRole('link', { name: 'credential' }).click()
      await tab.getByRole('button', { name: 'alice' }).waitFor()
    })
  })
})

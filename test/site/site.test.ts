/** The site of the documentation: built without a warning, no dead link, and nothing is asked of another host. */
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, posix, resolve } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chromiumPackages, seriousFindings, startChromium } from '../support/chromium.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { programPath, runToEnd } from '../support/programs.ts'
import { type FileServer, serveFiles } from './file-server.ts'

const root = resolve(import.meta.dirname, '../..')
const script = programPath('scripts/build-site.ts')
// npm needs a home for its cache; it is the one of this user.
const env = { HOME: process.env['HOME'] ?? tmpdir() }

const installed = await runToEnd(script, ['--install-only'], { env })
if (installed.code !== 0) {
  describe.skipIf(process.env['TTS_TEST_REQUIRE_TOOLS'] !== '1')('the site', () => {
    test('NOT RUN: npm cannot install the generator of the site', () => {
      expect(installed).toMatchObject({ code: 0 })
    })
  })
} else describe('the site', cases)

function cases(): void {
  let directory = ''
  let output = ''
  const pages = new Map<string, string>()
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'tts-site-'))
    const { code, out, err } = await runToEnd(script, ['--out', directory], { env })
    output = stripVTControlCharacters(out + err)
    if (code !== 0) throw new Error(`the site cannot be built:\n${output}`)
    for (const name of globSync('**/*.html', { cwd: directory }))
      pages.set(`/${name}`, readFileSync(join(directory, name), 'utf8'))
  }, 180_000)
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  test('is built without a warning', () => {
    expect(output).toContain('build complete')
    const lines = output
      .split('\n')
      .filter((line) => /warn|\(!\)|error|dead link|deprecat/i.test(line))
    expect(lines).toEqual([])
  })

  test('has every document', () => {
    const documents = globSync('docs/**/*.md', { cwd: root }).map((name) => `/${html(name)}`)
    expect(documents.length).toBeGreaterThan(35)
    expect(documents.filter((page) => !pages.has(page))).toEqual([])
  })

  test('has a way from the home page to every page', () => {
    const reached = new Set(['/index.html'])
    for (const page of reached)
      for (const { path } of linksOf(page, pages.get(page) ?? ''))
        if (pages.has(path)) reached.add(path)
    const all = [...pages.keys()].filter((page) => page !== '/404.html')
    expect(all.filter((page) => !reached.has(page))).toEqual([])
  })

  test('has no dead link, and no link to a heading that is not there', () => {
    const files = new Set(globSync('**/*.*', { cwd: directory }).map((name) => `/${name}`))
    const dead: string[] = []
    let count = 0
    for (const [page, text] of pages)
      for (const { path, anchor } of linksOf(page, text)) {
        count += 1
        const isThere =
          files.has(path) && (anchor === '' || idsOf(pages.get(path) ?? '').has(anchor))
        if (!isThere) dead.push(`${page}: ${path}#${anchor}`)
      }
    expect(count).toBeGreaterThan(3000)
    expect([...new Set(dead)]).toEqual([])
  })

  describeWithTools('in Chromium', chromiumPackages, () => inChromium(() => directory))
}

function inChromium(directory: () => string): void {
  let server: FileServer
  let browser: Browser
  beforeAll(async () => {
    server = await serveFiles(directory())
    browser = await startChromium()
  })
  afterAll(async () => {
    await browser.close()
    await server.close()
  })

  /** Shows a page; nothing may be asked of another host, and nothing may fail. */
  async function withPage(
    path: string,
    options: BrowserContextOptions,
    look: (page: Page) => Promise<void>,
  ): Promise<void> {
    const context = await browser.newContext(options)
    context.setDefaultTimeout(20_000)
    try {
      const page = await context.newPage()
      const complaints: string[] = []
      page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
      })
      page.on('pageerror', (error) => complaints.push(error.message))
      page.on('request', (request) => {
        const url = new URL(request.url())
        if (url.protocol !== 'data:' && url.origin !== server.url) complaints.push(url.href)
      })
      await page.goto(`${server.url}${path}`)
      await look(page)
      expect(complaints).toEqual([])
    } finally {
      await context.close()
    }
  }

  const phone = { viewport: { width: 390, height: 800 } }
  const dark = { colorScheme: 'dark' } as const

  test.for([
    ['a desktop', {}],
    ['a desktop in dark colours', dark],
    ['a phone', phone],
    ['a phone in dark colours', { ...phone, ...dark }],
  ] as const)('the diagrams are drawn on %s', async ([, options]) => {
    await withPage('/docs/how-it-works.html', options, async (page) => {
      await expect.poll(() => page.locator('.mermaid-diagram svg').count()).toBe(3)
      expect(await page.locator('.mermaid-source').count()).toBe(0)
      const drawn = (await page.locator('.mermaid-diagram').allInnerTexts()).join(' ')
      for (const text of ['Relying party', 'token exchange (RFC 8693)', 'vouches for'])
        expect(drawn).toContain(text)
      if ('viewport' in options) return
      // The button of the search is VitePress's own.
      const findings = await seriousFindings(page)
      expect(findings.filter((finding) => !finding.includes('DocSearch-Button'))).toEqual([])
    })
  })

  test.for([
    '/',
    '/README.html',
    '/docs/tutorials/operator.html',
    '/docs/troubleshooting.html',
    '/docs/configuration.html',
    '/docs/web.html',
  ])('%s fits a phone', async (path) => {
    await withPage(path, phone, async (page) => {
      await page.locator('h1').first().waitFor()
      const tooWide = 'document.documentElement.scrollWidth - document.documentElement.clientWidth'
      expect(await page.evaluate(tooWide)).toBe(0)
    })
  })

  test('the search finds an error text', async () => {
    await withPage('/', {}, async (page) => {
      await page
        .getByRole('button', { name: /search/i })
        .first()
        .click()
      await page.getByRole('searchbox').fill('meant for another service')
      await page.locator('.result', { hasText: 'Troubleshooting' }).first().click()
      await page.waitForURL(/\/docs\/troubleshooting\.html/)
      await page.getByText('the token is meant for another service').first().waitFor()
    })
  })

  test('a link to a file of the repository shows the file', async () => {
    await withPage('/docs/how-to/behind-nginx.html', {}, async (page) => {
      await page.getByRole('link', { name: 'deploy/nginx/tts.conf' }).click()
      await page.waitForURL(/\/files\/deploy\/nginx\/tts\.conf$/)
      expect(await page.locator('body').innerText()).toContain('proxy_pass')
    })
  })
}

const html = (markdown: string): string => markdown.replace(/\.md$/, '.html')

interface Link {
  readonly path: string
  readonly anchor: string
}

/** The links of a page to this site. */
function linksOf(page: string, text: string): readonly Link[] {
  return [...text.matchAll(/<a [^>]*?href="([^"]*)"/g)].flatMap(([, href = '']) => {
    if (/^[a-z]+:/.test(href)) return []
    const [address = '', anchor = ''] = href.split('#')
    const path = address === '' ? page : posix.resolve(posix.dirname(page), address)
    const file = address.endsWith('/') ? posix.join(path, 'index.html') : path
    // VitePress writes links to pages without their ending in the home page.
    const name = basename(file).includes('.') ? file : `${file}.html`
    return [{ path: decodeURIComponent(name), anchor: decodeURIComponent(anchor) }]
  })
}

const idsOf = (text: string): ReadonlySet<string> =>
  new Set([...text.matchAll(/ id="([^"]*)"/g)].map(([, id = '']) => id))

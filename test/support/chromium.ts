/** Debian's Chromium, driven by playwright-core, and axe on the pages that it shows. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AxeResults } from 'axe-core'
import { type Browser, chromium, type Page } from 'playwright-core'
import { findProgram } from './grid-tools.ts'

export const chromiumPackages = ['chromium'] as const

/**
 * Starts it; it asks nobody but the pages' own servers.
 *
 * @param hosts rules such as `MAP tts.example.org:443 127.0.0.1:4711` in place of a name server
 */
export function startChromium(hosts?: string): Promise<Browser> {
  const executablePath = findProgram('chromium')
  if (executablePath === undefined) throw new Error('there is no chromium')
  const args = [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--disable-quic',
    ...(hosts === undefined ? [] : [`--host-resolver-rules=${hosts}`]),
  ]
  return chromium.launch({ executablePath, args })
}

const axeSource = readFileSync(
  createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
  'utf8',
)

/** What axe finds on a page that keeps somebody out: rule and element, one line each. */
export async function seriousFindings(page: Page): Promise<string[]> {
  // Not by a script element: the page's policy refuses those, which is as it should be.
  await page.evaluate(axeSource)
  const results = await page.evaluate<AxeResults>('axe.run(document, { preload: false })')
  if (results.passes.length === 0) throw new Error('axe looked at nothing')
  return results.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`))
}

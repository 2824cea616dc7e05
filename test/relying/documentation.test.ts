/**
 * The examples of docs/watts.md do what the page says: a site that signs with Node, and one that signs with OpenSSL.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { startTestService, type TestService } from '../support/service.ts'
import { Browser, fieldsOf, withLogin } from '../web/support.ts'

const run = promisify(execFile)
const PORTAL = 'http://127.0.0.1:9'
const page = await readFile(new URL('../../docs/watts.md', import.meta.url), 'utf8')

/** The block of code behind the mark. */
function example(name: string): string {
  const at = page.indexOf(`<!-- example: ${name} -->`)
  return /```\w+\n([^]*?)```/.exec(page.slice(at))?.[1] ?? ''
}

let directory = ''
let service: TestService
let sh = ''
let settings: Record<string, Record<string, unknown>> = {}
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tts-portal-'))
  await run('openssl', ['genrsa', '-out', join(directory, 'portal.key'), '2048'])
  await writeFile(join(directory, 'sign.mjs'), example('sign.mjs'))
  const { jwks } = await signed('http://127.0.0.1:1')
  await writeFile(join(directory, 'jwk.json'), JSON.stringify(jwks))
  const [yaml = ''] = /relying_services:\n[^]*?(?=```)/.exec(page) ?? []
  settings = parse(yaml) as typeof settings
  const portal = {
    ...(settings['relying_services']?.['portal'] as object),
    keys_location: pathToFileURL(join(directory, 'jwk.json')).href,
    base_url: PORTAL,
  }
  const { services = {} } = settings
  service = await startTestService(withLogin({ services, relying_services: { portal } }))
  sh = example('sign.sh')
})
afterAll(async () => {
  await service.stop()
  await rm(directory, { recursive: true, force: true })
})

async function signed(tts: string): Promise<{ jwks: object; link: string }> {
  const env = { ...process.env, PORTAL, TTS: tts }
  const { stdout } = await run(process.execPath, ['sign.mjs'], { cwd: directory, env })
  return JSON.parse(stdout) as { jwks: object; link: string }
}

async function comesThrough(link: string, back: string): Promise<void> {
  const browser = new Browser(service)
  const arrival = await browser.ask(link, { headers: { referer: `${PORTAL}/` } })
  expect([arrival.status, arrival.headers.get('location')]).toEqual([302, '/rsp/request'])
  const shown = await browser.ask('/rsp/request')
  expect(shown.text).toContain('Example Portal')
  const result = await browser.ask('/rsp/request', { form: fieldsOf(shown.text, '/rsp/request') })
  expect(result.text).toContain('This page is shown only once')
  expect(result.text).toContain(`href="${back}"`)
}

test('with Node', async () => {
  const { link } = await signed(service.url)
  await comesThrough(link, `${PORTAL}/done`)
})

test('with OpenSSL', async () => {
  const env = { ...process.env, TTS: service.url }
  const { stdout } = await run('sh', ['-euc', sh], { cwd: directory, env })
  await comesThrough(stdout.trim(), `${PORTAL}/`)
})

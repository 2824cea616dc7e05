/** The page of a new credential: names, next steps that work in a shell, and PKCS#12 for browsers. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  createCipheriv,
  createHash,
  createPrivateKey,
  randomBytes,
  X509Certificate,
} from 'node:crypto'
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser as Chromium } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chromiumPackages, seriousFindings, startChromium } from '../support/chromium.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { useTestService } from '../support/service.ts'
import { Browser, fieldsOf, withLogin } from './support.ts'

const service = useTestService(withLogin())
const password = 'correct horse 7'
let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tts-result-'))
})
afterAll(async () => rm(directory, { recursive: true, force: true }))

async function request(id: string, values: Record<string, string> = {}) {
  const browser = new Browser(service())
  await browser.logIn()
  const path = `/services/${id}`
  const form = { ...fieldsOf((await browser.ask(path)).text, path), ...values }
  return { browser, page: (await browser.ask(path, { form })).text }
}

/** The hidden fields of each download form of a page. */
function downloads(page: string): Record<string, string>[] {
  return page
    .split('action="/download"')
    .slice(1)
    .map((part) => fieldsOf(`action="/download"${part}`, '/download'))
}

function commandsOf(page: string): string {
  const [, text = ''] = /<pre id="steps-commands"><code>([^<]*)</.exec(page) ?? []
  return text.replaceAll('&#34;', '"')
}

test('a proxy: the commands put it where grid tools look', async () => {
  const { browser, page } = await request('proxy')
  expect(page).toContain('<h1>Issued: Proxy</h1>')
  const commands = commandsOf(page)
  expect(commands.split('\n')).toEqual([
    'chmod 600 gwms_proxy',
    'mv gwms_proxy /tmp/x509up_u$(id -u)',
    'voms-proxy-info -all',
  ])
  const [fields = {}] = downloads(page)
  const file = await browser.ask('/download', { form: fields })
  await writeFile(join(directory, 'gwms_proxy'), file.text, { mode: 0o644 })
  const place = join(directory, 'x509up')
  const script = commands.replace('/tmp/x509up_u$(id -u)', place).replace(/\n.*$/, '')
  execFileSync('sh', ['-ec', script], { cwd: directory })
  expect((await stat(place)).mode & 0o777).toBe(0o600)
  expect(page).not.toContain('PKCS#12')
})

test('a certificate: the commands for grid tools, and a PKCS#12 file for browsers', async () => {
  const { browser, page } = await request('x509')
  expect(page).toContain('<h1>Issued: Certificate</h1>')
  const home = join(directory, 'home')
  await mkdir(home)
  const forms = downloads(page)
  for (const { file = '', content = '' } of forms.filter(({ file }) => file !== undefined))
    await writeFile(join(home, file), Buffer.from(content, 'base64'), { mode: 0o644 })
  const script = commandsOf(page).replace(/\nvoms-proxy-init$/, '')
  execFileSync('sh', ['-ec', script], { cwd: home, env: { ...process.env, HOME: home } })
  expect((await stat(join(home, '.globus/userkey.pem'))).mode & 0o777).toBe(0o600)

  const fields = forms.find(({ kind }) => kind === 'pkcs12') ?? {}
  const form = { ...fields, password, again: password }
  const answer = await fetch(`${service().url}/download`, {
    method: 'POST',
    headers: { cookie: `tts_session=${browser.cookie('tts_session') ?? ''}` },
    body: new URLSearchParams(form),
  })
  expect(answer.headers.get('content-disposition')).toBe('attachment; filename="usercert.p12"')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  const path = join(directory, 'usercert.p12')
  await writeFile(path, Buffer.from(await answer.arrayBuffer()))
  const args = ['pkcs12', '-in', path, '-passin', `pass:${password}`, '-noenc', '-clcerts']
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' })
  expect(status, stderr).toBe(0)
  expect(new X509Certificate(stdout).subject).toContain(
    `CN=${service().provider.user('alice').sub}@indigo-iam-test`,
  )
  // Nothing secret is recorded.
  expect(service().logged.join('')).not.toContain(password)
})

test('a certificate for a CSR: the user has the key, so there is no PKCS#12 file', async () => {
  const args = [
    'req',
    '-new',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-subj',
    '/',
    '-keyout',
    '/dev/null',
  ]
  const csr = execFileSync('openssl', args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const { page } = await request('x509', { p_csr: csr })
  expect(page).not.toContain('PKCS#12')
  expect(commandsOf(page)).toContain('mv -i usercert.pem ~/.globus/usercert.pem')
})

const badPasswords = [
  ['short', 'short', 'short', 'The password must have at least 8 characters.'],
  ['missing', '', '', 'The password must have at least 8 characters.'],
  ['different', password, `${password}x`, 'The two passwords are not the same.'],
  [
    'with accents',
    'pässwörter',
    'pässwörter',
    'Latin letters without accents, digits and punctuation',
  ],
] as const
test('a password that cannot be used: the form comes again, and still works', async () => {
  const { browser, page } = await request('x509')
  const fields = downloads(page).find(({ kind }) => kind === 'pkcs12') ?? {}
  for (const [name, first, again, why] of badPasswords) {
    const form = { ...fields, password: first, again }
    const answer = await browser.ask('/download', { form })
    expect([name, answer.status]).toEqual([name, 400])
    expect(answer.text).toContain(why)
    const kept = fieldsOf(answer.text, '/download')
    expect(kept['key']).toBe(fields['key'])
    const fixed = await browser.ask('/download', { form: { ...kept, password, again: password } })
    expect([name, fixed.status]).toEqual([name, 200])
  }
})

test('many files at the same time: one is made, the others are refused', async () => {
  const { browser, page } = await request('x509')
  const fields = downloads(page).find(({ kind }) => kind === 'pkcs12') ?? {}
  const form = { ...fields, password, again: password }
  const answers = await Promise.all(
    Array.from({ length: 5 }, async () => browser.ask('/download', { form })),
  )
  const statuses = new Set(answers.map(({ status }) => status))
  expect(statuses).toEqual(new Set([200, 429]))
  expect(answers.find(({ status }) => status === 429)?.headers.get('retry-after')).toBe('1')
  expect((await browser.ask('/download', { form })).status).toBe(200)
})

/** Encrypts bytes as if they were a key, in the form of the service (RFC 1421; key derivation of OpenSSL). */
function traditionalBlock(content: Buffer, passphrase: string): string {
  const iv = randomBytes(16)
  const salted = Buffer.concat([Buffer.from(passphrase), iv.subarray(0, 8)])
  const md5 = (before: Buffer): Buffer =>
    createHash('md5')
      .update(Buffer.concat([before, salted]))
      .digest()
  const start = md5(Buffer.alloc(0))
  const cipher = createCipheriv('aes-256-cbc', Buffer.concat([start, md5(start)]), iv)
  return [
    '-----BEGIN RSA PRIVATE KEY-----',
    'Proc-Type: 4,ENCRYPTED',
    `DEK-Info: AES-256-CBC,${iv.toString('hex').toUpperCase()}`,
    '',
    Buffer.concat([cipher.update(content), cipher.final()]).toString('base64'),
    '-----END RSA PRIVATE KEY-----\n',
  ].join('\n')
}

test('a key that the service did not make is refused, without reading it', async () => {
  const { browser, page } = await request('x509')
  const fields = downloads(page).find(({ kind }) => kind === 'pkcs12') ?? {}
  // The right key with the right passphrase, which would be accepted if it were read.
  const { passphrase = '' } = fields
  const own = Buffer.from(fields['key'] ?? '', 'base64').toString('latin1')
  const pkcs8 = createPrivateKey({ key: own, passphrase })
    .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase })
    .toString()
  // OpenSSL passes over a block that is not a key.
  const first = traditionalBlock(Buffer.alloc(32), passphrase)
  expect(createPrivateKey({ key: first + pkcs8, passphrase }).type).toBe('private')
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const other = downloads((await request('x509')).page).find(({ kind }) => kind === 'pkcs12') ?? {}
  const forms = [
    { key: base64(pkcs8) },
    { key: base64(first + pkcs8) },
    { key: base64(own + pkcs8) },
    { key: base64(pkcs8 + own) },
    { key: other['key'] ?? '', passphrase: other['passphrase'] ?? '' },
    { passphrase: 'wrong' },
    { certificate: '' },
    { certificate: 'AAAA' },
  ]
  for (const changes of forms) {
    const form = { ...fields, password, again: password, ...changes }
    const answer = await browser.ask('/download', { form })
    expect(answer.status).toBe(400)
    expect(answer.text).toContain('The form has no certificate with its key')
  }
})

describeWithTools('in Chromium', chromiumPackages, () => {
  let chromium: Chromium
  beforeAll(async () => {
    chromium = await startChromium()
  })
  afterAll(async () => chromium?.close())

  test.for([390, 960])('a certificate at %d pixels', { timeout: 60_000 }, async (width) => {
    const page = await chromium.newPage({ viewport: { width, height: 800 } })
    await page.goto(service().url)
    await page.getByRole('link', { name: 'Log in with Demo IAM' }).click()
    await page.getByRole('button', { name: 'Alice Example' }).click()
    await page.goto(`${service().url}/services/x509`)
    await page.getByRole('button', { name: 'Request' }).click()
    await page.getByText('This page is shown only once').waitFor()
    expect(await seriousFindings(page)).toEqual([])
    const overhang = 'document.documentElement.scrollWidth - document.documentElement.clientWidth'
    expect(await page.evaluate<number>(overhang)).toBe(0)
    await page.getByLabel('Password for the file').fill(password)
    await page.getByLabel('The same password again').fill(password)
    const downloading = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Download usercert.p12' }).click()
    expect((await downloading).suggestedFilename()).toBe('usercert.p12')
    await page.close()
  })
})

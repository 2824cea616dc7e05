/** The README's main job as a newcomer runs it, less the installation: the demo as a process of its own. */
import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { describeProxy } from '../../ca/proxy-info.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { Browser, fieldsOf } from '../web/support.ts'
import { programPath, runToEnd, type Started, startProgram } from '../support/programs.ts'

const run = promisify(execFile)
let directory = ''
const path = (name: string): string => join(directory, name)
const started: Started[] = []
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-demo-command-'))
})
afterEach(async () => {
  for (const { child, ended } of started.splice(0)) {
    child.kill('SIGKILL')
    await ended
  }
})
afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})
const demo = (): string => programPath('demo/main.ts')

/** A file's text, or undefined before it is written. */
const readIfThere = (name: string): string | undefined =>
  existsSync(path(name)) ? readFileSync(path(name), 'utf8') : undefined

const modeOf = (name: string): string => (statSync(path(name)).mode & 0o777).toString(8)

describe('once', () => {
  test('leaves proxy and trust anchors in DIR, and prints the facts', async () => {
    const { code, out, err } = await runToEnd(demo(), ['--once', '--dir', path('kept')])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(modeOf('kept/gwms_proxy')).toBe('600')
    expect(modeOf('kept/token')).toBe('600')
    expect(modeOf('kept/trust-anchors')).toBe('755')
    expect(readdirSync(path('kept/trust-anchors')).length).toBeGreaterThan(5)

    const file = parseProxyFile(readFileSync(path('kept/gwms_proxy'), 'utf8'))
    const facts = describeProxy(file, { now: new Date(), path: path('kept/gwms_proxy') })
    expect(facts.identity).toMatch(/^\/C=EU\/O=INDIGO\/OU=TTS\/CN=9e499e0e-\S+@indigo-iam-test$/)
    for (const fact of [
      `subject  : ${facts.subject}`,
      `issuer   : ${facts.issuer}`,
      `identity : ${facts.identity}`,
      'type     : RFC 3820 compliant impersonation proxy',
      'strength : 2048 bits',
      `path     : ${path('kept/gwms_proxy')}`,
    ])
      expect(out).toContain(`   ${fact}\n`)
    expect(out).toMatch(/^ {3}timeleft : (96:00:00|95:59:\d\d) {2}\(4\.0 days\)$/m)
    for (const step of ['1', '2', '3', '4', '5', '6'])
      expect(out).toMatch(new RegExp(`^${step}\\. `, 'm'))
    expect(out).not.toContain(readFileSync(path('kept/token'), 'utf8').trim())
    expect(out).not.toContain('PRIVATE KEY')

    // The doctor agrees.
    const explain = ['proxy', 'info', '--explain', '--trust-anchors', path('kept/trust-anchors')]
    const cli = programPath('src/cli/main.ts')
    const doctor = await runToEnd(cli, [...explain, path('kept/gwms_proxy')])
    expect(doctor).toMatchObject({ code: 0, err: '' })
  })

  test('certcache was shown the token once, and renewed a proxy without it', async () => {
    const { code, out, err } = await runToEnd(demo(), ['--once', '--dir', path('renewed')])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const shown = String.raw`serial ([0-9A-F]+), timeleft 0:0[01]:\d\d, ends (\S+Z)`
    const [, serial, end] = new RegExp(`with the token {4}: ${shown}\n`).exec(out) ?? []
    const [, nextSerial, nextEnd] = new RegExp(`without the token : ${shown}\n`).exec(out) ?? []
    expect(serial).not.toBe(nextSerial)
    const laterMs = Date.parse(nextEnd ?? '') - Date.parse(end ?? '')
    expect(laterMs).toBeGreaterThanOrEqual(2000)
    expect(out).toMatch(/^ {3}requests {10}: .*with a refresh token \(1 request\)$/m)

    expect(modeOf('renewed/fresh_proxy')).toBe('600')
    const fresh = readFileSync(path('renewed/fresh_proxy'), 'utf8')
    expect(new X509Certificate(fresh).serialNumber).toBe(nextSerial)
    expect(Date.parse(new X509Certificate(fresh).validTo)).toBe(Date.parse(nextEnd ?? ''))
    // The settings that are left name no token.
    expect(readFileSync(path('renewed/certcache.yaml'), 'utf8')).not.toContain('token')
  })
})

describe('its page', () => {
  test('lets alice create a delegation that renews', async () => {
    const running = startProgram(demo(), ['--dir', path('page')], { cwd: directory })
    started.push(running)
    await running.says(/\/metrics\n$/)
    const [, url = ''] = /Open (http:\S+)\/ in a browser/.exec(running.stdout()) ?? []
    await expect.poll(() => readIfThere('page/url')).toBe(`${url}\n`)
    const alice = new Browser({ url })
    await alice.logIn('alice', '/delegations')
    const form = fieldsOf((await alice.ask('/delegations')).text, '/delegations')
    const created = await alice.ask('/delegations', { form: { ...form, label: 'from the page' } })
    expect(created.status, created.text).toBe(201)
    const [, secret = ''] = /(tts_renew_[\w-]+)/.exec(created.text) ?? []
    const [, renewal = ''] = /(\/v1\/delegations\/[0-9a-f-]{36}\/proxies)/.exec(created.text) ?? []
    const headers = { authorization: `Bearer ${secret}` }
    expect((await fetch(`${url}${renewal}`, { method: 'POST', headers })).status).toBe(200)

    running.child.kill('SIGTERM')
    expect(await running.ended).toBe(0)
    // It is there only while something answers at this address.
    expect(existsSync(path('page/url'))).toBe(false)
  })
})

describe('the provider alone', () => {
  test.for(['SIGTERM', 'SIGINT'] as const)(
    'writes issuer and token, runs until %s, and starts no service',
    async (signal) => {
      const files = path(`provider ${signal}`)
      // Left by an earlier run: who waits for one of these files must get a new one.
      mkdirSync(files)
      for (const name of ['url', 'token']) writeFileSync(join(files, name), 'old')
      const running = startProgram(demo(), ['--provider', '--dir', files], { cwd: directory })
      started.push(running)
      await running.says(/^ {2}token {3}an access token of Alice/m)
      expect(readdirSync(files).toSorted()).toEqual(['issuer', 'token'])
      expect(statSync(join(files, 'token')).mode & 0o777).toBe(0o600)

      const issuer = readFileSync(join(files, 'issuer'), 'utf8').trim()
      const discovery = await fetch(`${issuer}.well-known/openid-configuration`)
      const { jwks_uri: keys } = (await discovery.json()) as { jwks_uri: string }
      const token = readFileSync(join(files, 'token'), 'utf8').trim()
      const verified = await jwtVerify(token, createRemoteJWKSet(new URL(keys)), {
        issuer,
        audience: 'https://tts.demo',
      })
      expect(verified.payload['groups']).toContain('cms')

      running.child.kill(signal)
      expect(await running.ended).toBe(0)
      expect(running.stderr()).toBe('')
      expect(running.stdout()).not.toContain(token)
      await expect(fetch(issuer)).rejects.toThrow('fetch failed')
    },
  )
})

describeWithTools('until Ctrl-C', ['curl', 'openssl'], () => {
  test('the lines that it prints work as they stand; it ends cleanly', async () => {
    // A blank in the path: what is printed is quoted.
    const words = ['--dir', path('a demo')]
    const running = startProgram(demo(), words, { cwd: directory })
    started.push(running)
    await running.says(/\/metrics\n$/)
    const lines = running
      .stdout()
      .split('\n')
      .map((line) => line.trim())
    const shell = (line: string) =>
      run('sh', ['-c', line.replaceAll('/tmp/my_', `${directory}/my_`)], { timeout: 20_000 })
    const line = (pattern: RegExp): string => lines.find((each) => pattern.test(each)) ?? 'false'

    await shell(line(/^\(umask 077; curl .* -o \/tmp\/my_proxy\)$/))
    expect(modeOf('my_proxy')).toBe('600')
    const { certificates, privateKey } = parseProxyFile(readFileSync(path('my_proxy'), 'utf8'))
    expect(certificates).toHaveLength(2)
    expect(privateKey).toBeDefined()

    await shell(line(/^openssl req /))
    const byCsr = await shell(line(/^curl .*--data-binary/))
    expect(byCsr.stdout).toMatch(/^-----BEGIN CERTIFICATE-----/)
    expect(byCsr.stdout).not.toContain('PRIVATE KEY')
    const listed = await shell(line(/^curl .*\/v1\/credentials$/))
    // Step 4, the two of certcache, and the two above.
    expect((JSON.parse(listed.stdout) as { credentials: object[] }).credentials).toHaveLength(5)
    expect((await shell(line(/^openssl verify /))).stdout).toMatch(/gwms_proxy: OK\n$/)
    expect((await shell(line(/^curl -s .*\/metrics$/))).stdout).toContain(
      'tts_credentials_issued_total',
    )
    const ourProgram = (name: string) => shell(line(new RegExp(`^npm run -s ${name} -- `)))
    const before = readFileSync(path('a demo/fresh_proxy'), 'utf8')
    expect((await ourProgram('certcache')).stdout).toMatch(/^fresh_proxy: renewed/)
    expect(readFileSync(path('a demo/fresh_proxy'), 'utf8')).not.toBe(before)
    expect((await ourProgram('tts')).stdout).toContain('relying parties known here would accept it')

    const url = /(http:\/\/127\.0\.0\.1:\d+)\/ca\//.exec(running.stdout())?.[1] ?? ''
    const issuer = /1\. Start an identity provider[^\n]*\n +(\S+)/.exec(running.stdout())?.[1] ?? ''
    running.child.kill('SIGINT')
    expect(await running.ended).toBe(0)
    expect(running.stderr()).toBe('')
    for (const gone of [url, issuer]) await expect(fetch(gone)).rejects.toThrow('fetch failed')
    expect(existsSync(path('a demo/gwms_proxy'))).toBe(true)
  })

  test('without --dir nothing is left, also after an impatient Ctrl-C', async () => {
    const TMPDIR = mkdtempSync(path('tmp-'))
    const running = startProgram(demo(), [], { env: { TMPDIR } })
    started.push(running)
    await running.says(/1\. Start an identity provider/)
    running.child.kill('SIGINT')
    expect(await running.ended).toBe(0)
    expect(running.stdout()).toContain(`path     : ${TMPDIR}/tts-demo-`)
    expect(readdirSync(TMPDIR)).toEqual([])
  })
})

test('--help says what it does, and starts nothing', async () => {
  const { code, out, err } = await runToEnd(demo(), ['--help'])
  expect({ code, err }).toEqual({ code: 0, err: '' })
  expect(out).toMatch(/^Usage: npm run demo/)
  for (const option of ['--once', '--provider', '--dir DIR']) expect(out).toContain(option)
  expect(out).not.toContain('1. ')
})

test.for([['--twice'], ['--dir'], ['--once', '--provider']])('%j is wrong usage', async (words) => {
  const { code, out, err } = await runToEnd(demo(), words)
  expect({ code, out }).toEqual({ code: 2, out: '' })
  expect(err).toContain('Usage: npm run demo')
  expect(err).not.toContain('    at ')
})

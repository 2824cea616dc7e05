/** The built programs, with nothing beside them: each thread and process that they start is found. */
import { execFile } from 'node:child_process'
import {
  cpSync,
  globSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../../ca/key.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { providerSettings } from '../api/delegation-support.ts'
import { programPath, runToEnd, type Started, startProgram } from '../support/programs.ts'
import { AUDIENCE, testConfiguration } from '../support/service.ts'

const run = promisify(execFile)
let directory = ''
let provider: IdentityProvider
const built = (name: string): string => join(directory, 'dist', name)
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tts-built-'))
  await run(process.execPath, [programPath('scripts/build.ts'), '--out', built('.')])
  provider = await startIdentityProvider({ tokens: { includeAuthnInfo: true } })
}, 60_000)
afterAll(async () => {
  await provider.close()
  rmSync(directory, { recursive: true, force: true })
})

async function withService(use: (url: string, token: string) => Promise<void>): Promise<void> {
  const settings = testConfiguration(provider)
  const configuration = join(directory, 'tts.yaml')
  const iam = { ...providerSettings(provider), delegation: {} }
  const data = { data_dir: join(directory, 'data'), providers: { iam } }
  writeFileSync(configuration, stringify({ ...settings, ...data }), { mode: 0o600 })
  const service = startProgram(built('tts.js'), ['serve', '--config', configuration])
  try {
    const [, url = ''] = await service.says(/"service\.started","url":"([^"]+)"/)
    const login = { issuer: provider.issuer, clientId: 'demo-cli', username: 'alice' }
    const wanted = { scope: 'openid profile', audience: AUDIENCE }
    const { access_token: token } = await obtainAccessToken({ ...login, ...wanted })
    await use(url, token)
  } finally {
    await end(service)
  }
}

async function end({ child, ended }: Started): Promise<void> {
  child.kill('SIGTERM')
  expect(await ended).toBe(0)
}

async function post(url: string, token: string, body?: string): Promise<string> {
  const type = body === undefined ? {} : { 'content-type': 'application/pkcs10' }
  const headers = { authorization: `Bearer ${token}`, ...type }
  const response = await fetch(url, { method: 'POST', headers, ...(body && { body }) })
  const text = await response.text()
  expect({ status: response.status, text: response.ok ? '' : text }).toMatchObject({ text: '' })
  return text
}

test('tts makes keys, signs CSRs, and certcache renews', async () => {
  await withService(async (url, token) => {
    const file = parseProxyFile(await post(`${url}/v1/proxies`, token))
    expect(file.privateKey?.asymmetricKeyType).toBe('rsa')
    const csr = await createCsr([], createSigner(await generatePrivateKey('rsa-2048')))
    expect(parseProxyFile(await post(`${url}/v1/proxies`, token, csr)).certificates).toHaveLength(2)

    const tokenFile = join(directory, 'token')
    writeFileSync(tokenFile, token, { mode: 0o600 })
    const out = join(directory, 'proxy')
    const state = join(directory, 'state')
    const words = ['refresh', '--url', url, '--token-file', tokenFile, '--state', state]
    const first = await runToEnd(built('certcache.js'), [...words, '--out', out])
    expect(first).toMatchObject({ code: 0 })
    // Now by the delegation: the service asks the provider, in a process of its own.
    const before = provider.faults.count('/token')
    rmSync(tokenFile)
    const again = await runToEnd(built('certcache.js'), [...words, '--out', out, '--valid', '4d'])
    expect(again).toMatchObject({ code: 0 })
    expect(provider.faults.count('/token')).toBe(before + 1)
    expect(parseProxyFile(readFileSync(out, 'utf8')).certificates).toHaveLength(2)
  })
})

test('both tell their version and can be run as they are', async () => {
  const { version } = JSON.parse(readFileSync(programPath('package.json'), 'utf8')) as {
    version: string
  }
  for (const name of ['tts.js', 'certcache.js']) {
    expect((await runToEnd(built(name), ['--version'])).out).toBe(`${version}\n`)
    expect(statSync(built(name)).mode & 0o111).toBe(0o111)
    expect(readFileSync(built(name), 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/)
  }
})

test.for(['tts', 'certcache'])('%s tells from what it was built, and when', async (name) => {
  const told = JSON.parse((await runToEnd(built(`${name}.js`), ['version', '--json'])).out) as {
    built_at: string
  }
  const { stdout } = await run('git', ['rev-parse', 'HEAD'], { cwd: programPath('.') })
  expect(told).toEqual({
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    commit: expect.stringMatching(new RegExp(`^${stdout.trim()}(?:-dirty)?$`)),
    built_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    node: process.version,
  })
  expect(Date.now() - Date.parse(told.built_at)).toBeLessThan(600_000)
  const { out } = await runToEnd(built(`${name}.js`), ['version'])
  expect(out).toMatch(/^\d+\.\d+\.\d+ \(commit [0-9a-f]{40}(-dirty)?, built \S+Z, Node\.js v\d+/)
})

test('what was compiled at the build is used wherever the programs are copied to', async () => {
  const kept = globSync('compile-cache/*/*', { cwd: built('.') })
  for (const file of kept) expect(statSync(built(file)).mode & 0o777, file).toBe(0o644)
  const copy = join(directory, 'copy')
  cpSync(built('.'), copy, { recursive: true })
  const env = { NODE_DEBUG_NATIVE: 'COMPILE_CACHE', NODE_COMPILE_CACHE: '' }
  for (const name of ['tts.js', 'certcache.js']) {
    const { out, err } = await runToEnd(join(copy, name), ['--version'], { env })
    const accepted = `${out}${err}`.match(/\/copy\/run-\S+\.js was accepted/g)
    expect(accepted, name).toHaveLength(1)
  }
})

test('the licence of each package in them is passed on', () => {
  const { components } = JSON.parse(readFileSync(built('bill-of-materials.cdx.json'), 'utf8')) as {
    components: readonly { 'bom-ref': string }[]
  }
  expect(components.length).toBeGreaterThan(60)
  const text = readFileSync(built('third-party-licenses.txt'), 'utf8')
  for (const { 'bom-ref': name } of components)
    expect(text).toContain(`${name.replace(/@(?=[^@]*$)/, ' ')} (`)
  expect(text).not.toMatch(/undefined/)
})

test('a directory that exists is not built into, and stays as it is', async () => {
  const words = [programPath('scripts/build.ts'), '--out', directory]
  await expect(run(process.execPath, words)).rejects.toThrow(/EEXIST/)
  expect(statSync(built('tts.js')).isFile()).toBe(true)
})

import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { describeProxy } from '../../ca/proxy-info.ts'
import { freePort } from '../support/grid-site.ts'
import { startTestService, type TestService, useTestService } from '../support/service.ts'
import { runTts, type TtsRun, type TtsRunOptions } from '../support/terminal.ts'

const quickLimits = {
  key_pool_size: 0,
  credentials_per_second_per_identity: 1e6,
  burst_per_identity: 1e6,
}
const ca = { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' }
const service = useTestService({ configuration: { ca, limits: quickLimits } })

const uid = process.getuid?.() ?? 0
let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-init-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))
const path = (name: string): string => join(directory, name)

function put(name: string, text: string): string {
  writeFileSync(path(name), text, { mode: 0o600 })
  return path(name)
}

/** A token for somebody of this name, so that the proxy's subject tells which token was taken. */
const tokenOf = (sub: string): string => service().token('alice', { sub })

/** `tts proxy init` with a key that is made quickly, into `proxy`. */
function init(words: readonly string[] = [], options: TtsRunOptions = {}): Promise<TtsRun> {
  const url = words.includes('--url') ? [] : ['--url', service().url]
  const out = words.includes('--out') ? [] : ['--out', path('proxy')]
  const key = words.includes('--key-type') ? [] : ['--key-type', 'ec-p256']
  return runTts(['proxy', 'init', ...url, ...out, ...key, ...words], options)
}

const withToken = (words: readonly string[] = [], token = tokenOf('alice')): Promise<TtsRun> =>
  init(words, { environment: { BEARER_TOKEN: token } })

function factsOf(file: string) {
  const proxyFile = parseProxyFile(readFileSync(file, 'utf8'))
  return { ...describeProxy(proxyFile, { now: new Date(), path: file }), proxyFile }
}
const personOf = (file: string): string | undefined =>
  /\/CN=([^/]*)@indigo-iam-test$/.exec(factsOf(file).identity)?.[1]

describe('the token', () => {
  test('BEARER_TOKEN is first', async () => {
    const environment = {
      BEARER_TOKEN: tokenOf('environment'),
      BEARER_TOKEN_FILE: put('named', tokenOf('named')),
    }
    expect(await init([], { environment })).toMatchObject({ code: 0 })
    expect(personOf(path('proxy'))).toBe('environment')
  })

  test('then the file that BEARER_TOKEN_FILE names, then those of the two directories', async () => {
    mkdirSync(path('runtime'))
    const named = put('named', `${tokenOf('named')}\n`)
    put(`runtime/bt_u${uid}`, tokenOf('runtime'))
    put(`bt_u${uid}`, tokenOf('tmp'))
    const XDG_RUNTIME_DIR = path('runtime')
    const person = async (environment: Record<string, string>) => {
      const { code } = await init([], { environment, temporaryDirectory: directory })
      return code === 0 ? personOf(path('proxy')) : code
    }
    expect(await person({ BEARER_TOKEN_FILE: named, XDG_RUNTIME_DIR })).toBe('named')
    expect(await person({ XDG_RUNTIME_DIR })).toBe('runtime')
    expect(await person({})).toBe('tmp')
  })

  test('--token-file is before all of them', async () => {
    const file = put('mine', tokenOf('mine'))
    expect(await withToken(['--token-file', file], tokenOf('other'))).toMatchObject({ code: 0 })
    expect(personOf(path('proxy'))).toBe('mine')
  })

  test.for([
    { title: 'BEARER_TOKEN_FILE', words: [], environment: { BEARER_TOKEN_FILE: '/nonexistent/t' } },
    { title: '--token-file', words: ['--token-file', '/nonexistent/t'], environment: {} },
  ])('a file of $title that cannot be read ends it with 3', async ({ words, environment }) => {
    const { code, notes } = await init(words, { environment, temporaryDirectory: directory })
    expect(code).toBe(3)
    expect(notes).toContain(
      'the token file /nonexistent/t cannot be read: the file or its directory does not exist',
    )
  })

  test('none at all ends it with 3 and says where tokens are looked for', async () => {
    const { code, notes } = await init([], { temporaryDirectory: directory })
    expect(code).toBe(3)
    expect(notes).toContain(`BEARER_TOKEN, BEARER_TOKEN_FILE, ${directory}/bt_u${uid}`)
    expect(notes).toContain('what to do: Get one')
  })
})

describe('the file', () => {
  test('is a proxy with its key, 0600, and its facts are printed', async () => {
    const { code, out, notes } = await withToken(['--key-type', 'rsa-2048'])
    expect({ code, notes }).toEqual({ code: 0, notes: '' })
    expect(statSync(path('proxy')).mode & 0o7777).toBe(0o600)
    const { proxyFile, subject, issuer, identity } = factsOf(path('proxy'))
    expect(proxyFile.certificates).toHaveLength(2)
    expect(out.split('\n').slice(0, 6)).toEqual([
      `subject  : ${subject}`,
      `issuer   : ${issuer}`,
      `identity : ${identity}`,
      'type     : RFC 3820 compliant impersonation proxy',
      'strength : 2048 bits',
      `path     : ${path('proxy')}`,
    ])
    expect(out).toMatch(/^timeleft : (96:00:00|95:59:5\d) {2}\(4\.0 days\)$/m)
    // No other file beside it.
    expect(execFileSync('ls', ['-A', directory], { encoding: 'utf8' })).toBe('proxy\n')
  })

  test('goes to X509_USER_PROXY, and to /tmp/x509up_u$ID without it', async () => {
    const token = tokenOf('alice')
    const words = ['proxy', 'init', '--url', service().url, '--key-type', 'ec-p256', '--quiet']
    const named = { BEARER_TOKEN: token, X509_USER_PROXY: path('named') }
    expect((await runTts(words, { environment: named })).code).toBe(0)
    expect(statSync(path('named')).mode & 0o7777).toBe(0o600)
    // The id of nobody at all.
    const stranger = 3_000_000_000 + process.pid
    const usual = `/tmp/x509up_u${stranger}`
    try {
      const run = await runTts(words, { environment: { BEARER_TOKEN: token }, uid: stranger })
      expect(run).toMatchObject({ code: 0, out: '' })
      expect(statSync(usual).mode & 0o7777).toBe(0o600)
    } finally {
      rmSync(usual, { force: true })
    }
  })

  test('the service is found by TTS_URL, with a path before its own too', async () => {
    const words = ['proxy', 'init', '--out', path('proxy'), '--key-type', 'ec-p256']
    const environment = { BEARER_TOKEN: tokenOf('alice'), TTS_URL: service().url }
    expect((await runTts(words, { environment })).code).toBe(0)
    const below = { ...environment, TTS_URL: `${service().url}/below` }
    expect(await runTts(words, { environment: below })).toMatchObject({ code: 5 })
  })

  test('an old one stays when the request is refused, and is replaced when it is not', async () => {
    put('proxy', 'old')
    const refused = await withToken([], service().token('alice', { groups: ['guests'] }))
    expect(refused.code).toBe(3)
    expect(readFileSync(path('proxy'), 'utf8')).toBe('old')
    expect((await withToken()).code).toBe(0)
    expect(personOf(path('proxy'))).toBe('alice')
  })

  test('is not written through a link or into a directory that is not there', async () => {
    execFileSync('ln', ['-s', path('target'), path('proxy')])
    const linked = await withToken()
    expect(linked.code).toBe(2)
    expect(linked.notes).toContain('symbolic link')
    expect(existsSync(path('target'))).toBe(false)
    const missing = await withToken(['--out', path('none/proxy')])
    expect(missing).toMatchObject({ code: 2, out: '' })
    expect(missing.notes).toContain(
      'none/proxy cannot be written: the file or its directory does not exist',
    )
  })
})

describe('the file is looked at before anything is issued', () => {
  const credentials = async (): Promise<number> =>
    (await service().running.service.store.listCredentials({ limit: 1000 })).length

  const isRoot = uid === 0
  test.for([
    { name: 'pipe', says: 'pipe is a named pipe; it is not replaced' },
    { name: 'directory', says: 'directory is a directory; it is not replaced' },
    { name: 'link', says: 'link is a symbolic link' },
    { name: 'none/proxy', says: 'cannot be written: the file or its directory does not exist' },
    { name: 'file/proxy', says: 'cannot be written: a part of the path is not a directory' },
    ...(isRoot ? [{ name: 'device', says: 'device is a device; it is not replaced' }] : []),
  ])('--out $name', async ({ name, says }) => {
    execFileSync('mkfifo', [path('pipe')])
    mkdirSync(path('directory'))
    execFileSync('ln', ['-s', path('nowhere'), path('link')])
    put('file', 'old')
    // In this directory alone.
    if (isRoot) execFileSync('mknod', [path('device'), 'c', '1', '7'])
    const before = await credentials()
    const run = await withToken(['--out', path(name)])
    expect(run).toMatchObject({ code: 2, out: '' })
    expect(run.notes).toContain(says)
    expect(run.notes).toContain('what to do: ')
    expect(await credentials()).toBe(before)
    if (isRoot) expect(statSync(path('device')).isCharacterDevice()).toBe(true)
  })

  test('X509_USER_PROXY is looked at too', async () => {
    mkdirSync(path('directory'))
    const words = ['proxy', 'init', '--url', service().url]
    const environment = { BEARER_TOKEN: tokenOf('alice'), X509_USER_PROXY: path('directory') }
    const { code, notes } = await runTts(words, { environment })
    expect(code).toBe(2)
    expect(notes).toContain('is a directory; it is not replaced')
  })

  test('`-` is standard output: the proxy alone, the facts go to standard error', async () => {
    const { code, out, notes } = await withToken(['--out', '-', '--key-type', 'rsa-2048'])
    expect(code).toBe(0)
    expect(out).toMatch(/^-----BEGIN CERTIFICATE-----[^]*-----BEGIN RSA PRIVATE KEY-----/)
    expect(parseProxyFile(out).certificates).toHaveLength(2)
    expect(notes).toContain('timeleft : ')
    expect(notes).not.toContain('PRIVATE')
    const quiet = await withToken(['-q', '--out', '-', '--key-type', 'rsa-2048'])
    expect(quiet).toMatchObject({ code: 0, notes: '' })
    expect(existsSync('-')).toBe(false)
    const { out: facts } = await withToken()
    expect(facts).not.toContain('PRIVATE')
  })
})

test.for([
  { words: ['--key-type', 'rsa-2048'], label: 'RSA PRIVATE KEY' },
  { words: ['--key-type', 'rsa-2048', '--key-format', 'pkcs1'], label: 'RSA PRIVATE KEY' },
  { words: ['--key-type', 'rsa-2048', '--key-format', 'pkcs8'], label: 'PRIVATE KEY' },
  { words: ['--key-type', 'ec-p256', '--key-format', 'pkcs1'], label: 'PRIVATE KEY' },
])('$words writes the key as $label', async ({ words, label }) => {
  const { code, out } = await withToken(['--out', '-', ...words])
  expect(code).toBe(0)
  expect(parseProxyFile(out).labels).toEqual(['CERTIFICATE', label, 'CERTIFICATE'])
})

describe('clocks', () => {
  const HOUR_MS = 3_600_000
  test.for([
    {
      title: 'behind',
      offset: -1,
      says: /(1 hour|59 minutes.*) behind the clock of the service; set it with NTP/,
    },
    { title: 'ahead', offset: 5, says: /5 hours.* ahead of the clock of the service/ },
  ])('one that is $title is named', async ({ offset, says }) => {
    const environment = { BEARER_TOKEN: tokenOf('alice') }
    const now = (): Date => new Date(Date.now() + offset * HOUR_MS)
    const { code, notes } = await init([], { environment, now })
    expect(code).toBe(0)
    expect(notes).toMatch(says)
  })

  test('no time is left while the proxy is not valid yet', async () => {
    const environment = { BEARER_TOKEN: tokenOf('alice') }
    const now = (): Date => new Date(Date.now() - 24 * HOUR_MS)
    const { out, notes } = await init([], { environment, now })
    expect(out).toMatch(/^timeleft : 0:00:00 {2}\(not valid before 2\d{3}-\S+Z\)$/m)
    expect(notes).toMatch(/warning: by the clock of this machine the proxy is not valid before 2/)
  })

  test('one that is right is not mentioned', async () => {
    expect((await withToken(['--key-type', 'rsa-2048'])).notes).toBe('')
  })
})

test('--verbose shows the requests, and never the token', async () => {
  const token = tokenOf('alice')
  const { code, notes } = await withToken(['--verbose', '--type', 'limited'], token)
  expect(code).toBe(0)
  expect(notes).toContain(`> POST ${service().url}/v1/proxies?proxy_type=limited\n`)
  expect(notes).toMatch(
    /^< 200 after \d+ ms \(application\/x-pem-file; charset=utf-8, \d+ bytes\)$/m,
  )
  for (const part of token.split('.').slice(1)) expect(notes).not.toContain(part)
})

describe('what is asked', () => {
  test.for([
    { time: '3600', seconds: 3600 },
    { time: '45m', seconds: 2700 },
    { time: '12h', seconds: 43_200 },
    { time: '4d', seconds: 345_600 },
    { time: '96:00', seconds: 345_600 },
    { time: '12h30m', seconds: 45_000 },
  ])('a life of $time', async ({ time, seconds }) => {
    expect(await withToken(['--lifetime', time])).toMatchObject({ code: 0 })
    const { timeLeftSeconds } = factsOf(path('proxy'))
    expect(timeLeftSeconds).toBeLessThanOrEqual(seconds + 1)
    expect(timeLeftSeconds).toBeGreaterThan(seconds - 20)
  })

  test.for(['', '1w', '1.5h', '-1', '12 h', '0x10', '96:60', '30m1h', 'NaN'])(
    'a life of "%s" is no time',
    async (time) => {
      const { code, notes } = await withToken([`--lifetime=${time}`])
      expect(code).toBe(2)
      expect(notes).toContain(
        'must be a duration, for example 3600, 45m, 12h30m, 4d or 96:00 (hours:minutes)',
      )
      expect(existsSync(path('proxy'))).toBe(false)
    },
  )

  test.for(['0', '59', '500d'])('a life of %s is refused by the service', async (time) => {
    const { code, notes } = await withToken(['-l', time])
    expect(code).toBe(2)
    expect(notes).toMatch(/^tts: the service refused: .*lifetime/)
  })

  test.for(['impersonation', 'limited', 'independent'])('a proxy that is %s', async (type) => {
    const { code, out } = await withToken(['--type', type])
    expect(code).toBe(0)
    expect(out).toContain(`type     : RFC 3820 compliant ${type} proxy`)
  })

  test('a path length, with the note of the service', async () => {
    const { code, notes } = await withToken(['--path-length', '0', '--key-type', 'rsa-2048'])
    expect(code).toBe(0)
    expect(factsOf(path('proxy')).pathLength).toBe(0)
    expect(notes).toContain('note: MyProxy')
  })

  test('an EC key comes with its note, also when quiet', async () => {
    const { code, out, notes } = await withToken(['--key-type', 'ec-p256', '--quiet'])
    expect({ code, out }).toEqual({ code: 0, out: '' })
    expect(notes).toContain("note: XRootD's root:// and Globus refuse proxies with an EC key")
    expect(factsOf(path('proxy')).keyFamily).toBe('EC')
  })

  test('quiet says nothing at all when it works', async () => {
    const run = await withToken(['-q', '--key-type', 'rsa-2048'])
    expect(run).toMatchObject({ code: 0, out: '', notes: '' })
  })

  test.for([
    { words: ['--type', 'full'], says: 'Allowed choices are impersonation, limited, independent' },
    { words: ['--key-format', 'der'], says: 'Allowed choices are pkcs1, pkcs8' },
    { words: ['--key-type', 'rsa-1024'], says: 'Allowed choices are rsa-2048' },
    { words: ['--path-length', 'two'], says: 'path_length' },
    { words: ['--timeout', 'soon'], says: '"soon" must be a duration' },
    { words: ['--timeout', '0'], says: 'must be a number of seconds from 1 to 3600' },
    { words: ['--url', 'tts.example.org'], says: 'is not an http or https URL' },
    { words: ['--url', 'ftp://tts.example.org'], says: 'is not an http or https URL' },
    { words: ['--url', 'http://tts.example.org'], says: 'plain http, so the token would cross' },
    { words: ['--no-such-option'], says: 'unknown option' },
    { words: ['a-word'], says: 'too many arguments' },
  ])('$words is wrong usage', async ({ words, says }) => {
    const { code, notes } = await withToken(words)
    expect(code).toBe(2)
    expect(notes).toContain(says)
  })

  test('a service of another id, and one that is not there', async () => {
    expect((await withToken(['--service', 'proxy'])).code).toBe(0)
    const unknown = await withToken(['--service', 'nothing'])
    expect(unknown.code).toBe(5)
    expect(unknown.notes).toContain('no service has this name')
    expect((await withToken(['--service', 'x509'])).code).toBe(2)
  })
})

describe('refusals', () => {
  test.for([
    { title: 'expired', claims: { exp: Math.floor(Date.now() / 1000) - 3600 }, says: 'expired' },
    {
      title: 'for another audience',
      claims: { aud: 'https://else' },
      says: 'meant for another service',
    },
    {
      title: 'not in the group',
      claims: { groups: ['guests'] },
      says: 'no rule of this service allows this user',
    },
  ])('a token that is $title ends it with 3', async ({ claims, says }) => {
    const token = service().token('alice', claims)
    const { code, out, notes } = await withToken([], token)
    expect({ code, out }).toEqual({ code: 3, out: '' })
    expect(notes).toMatch(/^tts: the service refused: .* \(request \S+\)\n {2}what to do: /)
    expect(notes).toContain(says)
    expect(notes).not.toContain(token)
  })

  test('a service that is down ends it with 4', async () => {
    const { code, notes } = await withToken(['--url', `http://127.0.0.1:${await freePort()}`])
    expect(code).toBe(4)
    expect(notes).toContain('it refuses connections')
    expect(notes).toContain('what to do: Check --url (or TTS_URL)')
  })
})

describe('over TLS', () => {
  let tls: TestService | undefined
  const files = mkdtempSync(join(tmpdir(), 'tts-tls-'))
  const file = (name: string): string => join(files, name)
  afterAll(async () => {
    await tls?.stop()
    rmSync(files, { recursive: true, force: true })
  })

  async function tlsService(): Promise<TestService> {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
    const about = ['-subj', '/CN=tts', '-addext', 'subjectAltName=IP:127.0.0.1']
    const out = ['-keyout', file('tls.key'), '-out', file('tls.pem')]
    execFileSync('openssl', ['req', '-x509', ...key, ...about, ...out], { stdio: 'pipe' })
    const listen = {
      port: 0,
      tls_certificate_file: file('tls.pem'),
      tls_key_file: file('tls.key'),
    }
    tls ??= await startTestService({
      configuration: { ca, limits: quickLimits, listen },
      awaitReady: false,
    })
    return tls
  }

  test('trusts the CA that --cacert names, and no other', async () => {
    const { url, token } = await tlsService()
    expect(url).toMatch(/^https:/)
    const trusted = await withToken(['--url', url, '--cacert', file('tls.pem')], token())
    expect(trusted).toMatchObject({ code: 0 })
    rmSync(path('proxy'))

    const untrusted = await withToken(['--url', url], token())
    expect(untrusted.code).toBe(4)
    expect(untrusted.notes).toContain('its certificate is not from a trusted CA')
    expect(untrusted.notes).toContain(
      'what to do: Give the CA certificate of the server with --cacert FILE, or set SSL_CERT_FILE or X509_CERT_DIR.',
    )

    const port = new URL(url).port
    const named = ['--url', `https://localhost:${port}`, '--cacert', file('tls.pem')]
    const other = await withToken(named, token())
    expect(other.code).toBe(4)
    expect(other.notes).toContain('its certificate is for another host')
    expect(existsSync(path('proxy'))).toBe(false)

    const plain = await withToken(['--url', `http://127.0.0.1:${port}`], token())
    expect(plain.code).toBe(4)
  })

  test.for([
    {
      title: 'is not there',
      content: undefined,
      code: 5,
      says: 'cannot be read: the file or its directory does not exist',
    },
    {
      title: 'contains no PEM certificate',
      content: 'nothing',
      code: 2,
      says: 'contains no PEM certificate',
    },
  ])('a --cacert that $title', async ({ content, code, says }) => {
    if (content !== undefined) put('cacert', content)
    const run = await withToken(['--url', 'https://127.0.0.1:1', '--cacert', path('cacert')])
    expect(run.code).toBe(code)
    expect(run.notes).toContain(says)
  })
})

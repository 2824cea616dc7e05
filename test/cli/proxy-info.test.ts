import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { describeProxy, formatProxyInfo } from '../../ca/proxy-info.ts'
import { useTestService } from '../support/service.ts'
import { runTts, type TtsRun, type TtsRunOptions } from '../support/terminal.ts'

// What relying parties take: an RSA CA, EECs of RSA-2048.
const service = useTestService({ configuration: { ca: { key_kind: 'rsa-3072' } } })

const DAY_MS = 86_400_000
let directory = ''
const path = (name: string): string => join(directory, name)
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tts-info-'))
  writeFileSync(path('token'), service().token())
  const init = ['proxy', 'init', '--url', service().url, '--token-file', path('token'), '-q']
  for (const [name, ...words] of [['proxy'], ['ec', '--key-type', 'ec-p256']]) {
    const { code } = await runTts([...init, '--out', path(String(name)), ...words])
    expect(code).toBe(0)
  }
  await exportAnchors('anchors')
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

async function exportAnchors(name: string): Promise<void> {
  const config = join(service().directory, 'tts.yaml')
  expect((await runTts(['-c', config, 'ca', 'export', path(name)])).code).toBe(0)
}
const info = (words: readonly string[], options?: TtsRunOptions): Promise<TtsRun> =>
  runTts(['proxy', 'info', ...words], options)
const explain = (file: string, options?: TtsRunOptions): Promise<TtsRun> =>
  info(['--explain', '--trust-anchors', path('anchors'), path(file)], options)

describe('the facts', () => {
  test('are those that grid-proxy-info prints', async () => {
    const now = new Date()
    const { code, out, notes } = await info([path('proxy')], { now: () => now })
    const file = parseProxyFile(readFileSync(path('proxy'), 'utf8'))
    expect({ code, notes }).toEqual({ code: 0, notes: '' })
    expect(out).toBe(formatProxyInfo(describeProxy(file, { now, path: path('proxy') })))
    expect(out).toMatch(/^identity : \/C=EU\/O=INDIGO\/OU=TTS\/CN=9e499e0e-\S+@indigo-iam-test$/m)
  })

  test('the file is the one that is named, else X509_USER_PROXY, else that in /tmp', async () => {
    const environment = { X509_USER_PROXY: path('ec') }
    expect((await info([], { environment })).out).toContain(`path     : ${path('ec')}\n`)
    expect((await info([path('proxy')], { environment })).out).toContain(`${path('proxy')}\n`)
    const stranger = 3_000_000_000 + process.pid
    const { code, notes } = await info([], { uid: stranger })
    expect(code).toBe(5)
    expect(notes).toContain(
      `the proxy file /tmp/x509up_u${stranger} cannot be read: the file or its directory does not exist`,
    )
    expect(notes).toContain('what to do: Create a proxy with `tts proxy init`')
  })

  test.for([{ words: ['--json', 'proxy', 'info'] }, { words: ['proxy', 'info', '--json'] }])(
    '$words is for scripts',
    async ({ words }) => {
      const { code, out } = await runTts([...words, path('proxy')])
      expect(code).toBe(0)
      expect(JSON.parse(out)).toMatchObject({
        type: 'RFC 3820 compliant impersonation proxy',
        limited: false,
        strength_bits: 2048,
        path: path('proxy'),
        certificates: [{ kind: 'proxy' }, { kind: 'end entity' }],
      })
      expect(out).not.toContain('PRIVATE')
    },
  )

  test.for([
    { words: ['--valid', '2d'], after: 0, code: 0 },
    { words: ['--valid', '95:00'], after: 0, code: 0 },
    { words: ['--valid', '97:00'], after: 0, code: 1 },
    { words: ['--valid', '2d'], after: 3, code: 1 },
    { words: [], after: 3, code: 0 },
    { words: [], after: 5, code: 1 },
  ])('$words after $after days ends with $code', async ({ words, after, code }) => {
    const now = new Date(Date.now() + after * DAY_MS)
    const run = await info([...words, path('proxy')], { now: () => now })
    expect(run.code).toBe(code)
    expect(run.out).toContain('timeleft : ')
  })

  test.for([
    {
      title: 'is not there',
      name: 'none',
      code: 5,
      says: 'cannot be read: the file or its directory does not exist',
    },
    { title: 'is a directory', name: 'folder', code: 2, says: 'is not a regular file' },
    { title: 'is empty', name: 'empty', code: 2, says: 'is not a proxy file' },
    { title: 'is something else', name: 'else', code: 2, says: 'is not a proxy file' },
    { title: 'is too long', name: 'long', code: 2, says: 'too large to be a proxy file' },
  ])('a file that $title ends it with $code', async ({ name, code, says }) => {
    mkdirSync(path('folder'), { recursive: true })
    writeFileSync(path('empty'), '')
    writeFileSync(path('else'), 'hello\n')
    writeFileSync(path('long'), Buffer.alloc(3_000_000, 0x20))
    const run = await info([path(name)])
    expect(run).toMatchObject({ code, out: '' })
    expect(run.notes).toContain(says)
  })

  test.for([
    {
      hours: -24,
      code: 1,
      says: /is not valid before 2\S+Z\. Check the clock of this machine\.$/m,
    },
    { hours: 5 * 24, code: 1, says: /^The proxy \S+ has expired\.$/m },
  ])('$hours hours from now', async ({ hours, code, says }) => {
    const now = new Date(Date.now() + (hours * DAY_MS) / 24)
    const run = await info([path('proxy')], { now: () => now })
    expect(run.code).toBe(code)
    expect(run.notes).toMatch(says)
    expect(run.out).toMatch(
      hours < 0 ? /^timeleft : 0:00:00 {2}\(not valid before 2\S+Z\)$/m : /^timeleft : 0:00:00$/m,
    )
    const refused = await info(['--valid', '1m', path('proxy')], { now: () => now })
    expect(refused.code).toBe(1)
    const json = await info(['--json', path('proxy')], { now: () => now })
    expect(JSON.parse(json.out)).toMatchObject({
      state: hours < 0 ? 'not yet valid' : 'expired',
      time_left_seconds: 0,
    })
  })

  test.for([
    { words: ['-timeleft'], out: /^345\d{3}\n$/ },
    { words: ['--timeleft', '--file', 'proxy'], out: /^345\d{3}\n$/ },
    { words: ['-subject'], out: /^\/C=EU\/.*\/CN=\d+\n$/ },
    { words: ['-issuer', '-identity'], out: /^(\/C=EU\/\S+@indigo-iam-test\n){2}$/ },
    { words: ['-type'], out: /^RFC 3820 compliant impersonation proxy\n$/ },
    { words: ['-strength', '-path'], out: /^2048\n\/\S+\/proxy\n$/ },
    {
      words: ['-text'],
      out: /^\ncertificate 1: proxy\n {2}subject {5}: \/C=EU.*certificate 2: end entity\n/s,
    },
    { words: ['-all'], out: /^subject {2}: .*timeleft : .*\ncertificate 2: end entity\n/s },
  ])('$words prints that alone', async ({ words, out }) => {
    const file = words.includes('--file') ? [] : [path('proxy')]
    const given = words.map((word) => (word === 'proxy' ? path('proxy') : word))
    const run = await info([...given, ...file])
    expect(run).toMatchObject({ code: 0, notes: '' })
    expect(run.out).toMatch(out)
    expect(run.out).not.toContain('PRIVATE')
  })

  test.for([
    { words: ['-exists'], code: 0 },
    { words: ['-exists', '-valid', '12:00'], code: 0 },
    { words: ['-exists', '-valid', '97:00'], code: 1 },
    { words: ['-exists', '-hours', '97'], code: 1 },
    { words: ['-exists', '-hours', '12', '-bits', '2048'], code: 0 },
    { words: ['-exists', '-bits', '4096'], code: 1 },
    { words: ['-exists'], hours: -24, code: 1 },
    { words: ['-exists'], hours: 120, code: 1 },
    { words: ['-exists'], name: 'none', code: 1 },
    { words: ['-exists'], name: 'token', code: 1 },
  ])('$words $hours $name ends silently with $code', async ({ words, hours = 0, name, code }) => {
    const now = new Date(Date.now() + (hours * DAY_MS) / 24)
    const run = await info([...words, path(name ?? 'proxy')], { now: () => now })
    expect(run).toMatchObject({ code, out: '', notes: '' })
  })

  test('a time that is none is wrong usage', async () => {
    const { code, notes } = await info(['--valid', 'long', path('proxy')])
    expect(code).toBe(2)
    expect(notes).toContain('"long" must be a duration')
  })
})

describe('the doctor', () => {
  test('finds nothing wrong with what the service issues', async () => {
    const { code, out, notes } = await explain('proxy')
    expect({ code, notes }).toEqual({ code: 0, notes: '' })
    expect(out).not.toContain('Would be refused')
    expect(out).toMatch(/relying parties known here would accept it/)
  })

  test('looks where relying parties look for trust anchors', async () => {
    const environment = { X509_CERT_DIR: path('anchors') }
    const found = await info(['--explain', path('proxy')], { environment })
    expect(found).toMatchObject({ code: 0, notes: '' })
    for (const { code, notes } of [
      await info(['--explain', '--trust-anchors', path('no-anchors'), path('proxy')]),
      await info(['--explain', path('proxy')], {
        environment: { X509_CERT_DIR: path('no-anchors') },
      }),
    ]) {
      expect(code).toBe(5)
      expect(notes).toContain(`the trust anchors in ${path('no-anchors')} cannot be read`)
    }
  })

  test('a file that others can read is refused, and who refuses it is named', async () => {
    cpSync(path('proxy'), path('open'))
    chmodSync(path('open'), 0o644)
    const { code, out } = await explain('open')
    expect(code).toBe(6)
    expect(out).toMatch(/^Would be refused:$/m)
    expect(out).toContain('0644')
    expect(out).toMatch(/^ {4}by: {5}.*Globus/m)
    expect(out).toMatch(/^ {4}remedy: .*chmod 600/m)
  })

  test('an EC key is refused by XRootD and GridFTP', async () => {
    const { code, out } = await explain('ec')
    expect(code).toBe(6)
    expect(out).toMatch(/^ {4}by: {5}GridFTP, MyProxy, XRootD$/m)
  })

  test('says which directory and which user the answer is for', async () => {
    const { out } = await explain('proxy')
    expect(out).toContain(`\nTrust directory: ${path('anchors')}\n`)
    const words = ['--json', '--explain', '--trust-anchors', path('anchors'), path('proxy')]
    expect(JSON.parse((await info(words)).out)).toMatchObject({
      trust_anchors: path('anchors'),
      examined_as: process.getuid?.(),
      findings: [],
    })
  })

  test.skipIf(existsSync('/etc/grid-security/certificates'))(
    'without a trust directory it does not say that all accept',
    async () => {
      const { code, out } = await info(['--explain', path('proxy')])
      expect(code).toBe(0)
      expect(out).toContain('\nTrust anchors, signing policies and CRLs were not examined')
      expect(out).not.toContain('would accept')
      const { out: json } = await info(['--json', '--explain', path('proxy')])
      expect(JSON.parse(json)).toMatchObject({ trust_anchors: null })
    },
  )

  test('a file with odd lines is refused, and the line is named', async () => {
    const text = readFileSync(path('proxy'), 'utf8')
    writeFileSync(path('indented'), text.replace(/^(?=.)/gm, '    '), { mode: 0o600 })
    const { code, out } = await explain('indented')
    expect(code).toBe(6)
    expect(out).toContain('  Line 1, in the block CERTIFICATE, has white space before -----BEGIN')
    writeFileSync(path('marked'), `\u{FEFF}# a note\n${text}`, { mode: 0o600 })
    expect(await explain('marked')).toMatchObject({ code: 0 })
  })

  test('an ended CRL is refused', async () => {
    const now = new Date(Date.now() + 3 * DAY_MS)
    expect((await explain('proxy', { now: () => now })).code).toBe(0)
    const config = join(service().directory, 'tts.yaml')
    const environment = {
      TTS_CA__CRL_LIFETIME_SECONDS: '90000',
      TTS_CA__CRL_REFRESH_SECONDS: '3600',
    }
    // In the records of a copy: the service goes on with its own.
    const copy = path('copy')
    cpSync(join(service().directory, 'data'), copy, { recursive: true })
    const words = ['-c', config, 'ca', 'export', path('anchors-ended')]
    const options = { environment: { ...environment, TTS_DATA_DIR: copy } }
    const later = () => new Date(Date.now() + 3600_000 * 2)
    expect((await runTts(words, { ...options, now: later })).code).toBe(0)
    const { code, out } = await info(
      ['--explain', '--trust-anchors', path('anchors-ended'), path('proxy')],
      { now: () => now },
    )
    expect(code).toBe(6)
    expect(out).toMatch(/^ {2}.*CRL.*$/m)
    expect(out).toMatch(/^ {4}by: {5}.*OpenSSL/m)
  })

  test('a revoked one is refused by whom a CRL reaches', async () => {
    const { certificates } = parseProxyFile(readFileSync(path('proxy'), 'utf8'))
    const config = join(service().directory, 'tts.yaml')
    const copy = path('revoked-copy')
    cpSync(join(service().directory, 'data'), copy, { recursive: true })
    const options = { environment: { TTS_DATA_DIR: copy } }
    const listed = await runTts(['-c', config, '--json', 'credential', 'list'], options)
    const [credential] = JSON.parse(listed.out) as { id: string; end_entity_serial: string }[]
    expect(credential?.end_entity_serial).toBe(certificates[1]?.serial)
    await runTts(['-c', config, 'credential', 'revoke', credential?.id ?? ''], options)
    await runTts(['-c', config, 'ca', 'export', path('anchors-revoked')], options)
    const words = ['--explain', '--trust-anchors', path('anchors-revoked'), path('proxy')]
    const { code, out } = await info(words)
    expect(code).toBe(6)
    expect(out).toContain('revoked')
  })

  test('root asks for the owner of the file, and anybody for whom they name', async () => {
    cpSync(path('proxy'), path('theirs'))
    const owner = process.getuid?.() || 65_534
    if (process.getuid?.() === 0) chownSync(path('theirs'), owner, owner)
    const words = ['--json', '--explain', '--trust-anchors', path('anchors'), path('theirs')]
    const asRoot = await info(words, { uid: 0 })
    expect(JSON.parse(asRoot.out)).toMatchObject({ examined_as: owner, findings: [] })
    expect(asRoot).toMatchObject({
      code: 0,
      notes: `tts: mode and owner of the file are judged for user ${owner}\n`,
    })
    const named = await info(['--as', String(owner), ...words], { uid: 12_345 })
    expect(JSON.parse(named.out)).toMatchObject({ examined_as: owner, findings: [] })
    for (const run of [
      await info(words, { uid: 12_345 }),
      await info(['--as', '12345', ...words], { uid: 0 }),
    ]) {
      expect(run.code).toBe(6)
      expect(JSON.parse(run.out)).toMatchObject({
        examined_as: 12_345,
        findings: [{ rule: 'file-owner' }],
      })
    }
  })

  test('--as takes a name, and looks for the proxy of that user', async () => {
    const stranger = 3_000_000_000 + process.pid
    const run = await info(['--explain', '--as', String(stranger)])
    expect(run.code).toBe(5)
    expect(run.notes).toContain(`the proxy file /tmp/x509up_u${stranger} cannot be read`)
    const words = ['--json', '--explain', '--trust-anchors', path('anchors'), path('proxy')]
    const root = JSON.parse((await info(['--as', 'root', ...words])).out) as { examined_as: number }
    expect(root.examined_as).toBe(0)
    const nobody = await info(['--as', 'no-such-user-here', ...words])
    expect(nobody.code).toBe(2)
    expect(nobody.notes).toContain('--as no-such-user-here: there is no user of this name')
  })

  test('has its findings as JSON too', async () => {
    const words = ['--json', '--explain', '--trust-anchors', path('anchors'), path('ec')]
    const { code, out } = await info(words)
    expect(code).toBe(6)
    const { findings } = JSON.parse(out) as { findings: readonly Record<string, unknown>[] }
    expect(findings[0]).toMatchObject({
      severity: 'refuses',
      rule: expect.any(String) as string,
      relying_parties: expect.arrayContaining(['XRootD']) as string[],
      remedy: expect.any(String) as string,
    })
  })
})

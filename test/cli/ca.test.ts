import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readCrl } from '../../ca/crl.ts'
import { openssl } from '../support/openssl.ts'
import { useTestService } from '../support/service.ts'
import { runTts, type TtsRun } from '../support/terminal.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-ca-'))
  writeFileSync(path('tts.yaml'), 'data_dir: data\nca: { key_kind: ec-p256 }\n')
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const path = (name: string): string => join(directory, name)
const read = (name: string): string => readFileSync(path(name), 'utf8')
const mode = (name: string): string => (statSync(path(name)).mode & 0o7777).toString(8)

/** `tts ca …` with the configuration of this test's directory. */
const ca = (words: readonly string[], now?: Date): Promise<TtsRun> =>
  runTts(['--config', path('tts.yaml'), 'ca', ...words], now ? { now: () => now } : {})

async function shown(now?: Date): Promise<Record<string, string | number | null>> {
  const { code, out } = await ca(['show', '--json'], now)
  expect(code).toBe(0)
  return JSON.parse(out) as Record<string, string | number | null>
}

describe('init', () => {
  test('makes a CA in private files and says to back it up', async () => {
    const { code, out, notes } = await ca(['init'])
    expect({ code, out }).toEqual({ code: 0, out: '' })
    expect(notes).toContain(`/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA is in ${path('data/ca')}`)
    expect(notes).toContain('Back up this directory')
    expect(mode('data/ca')).toBe('700')
    expect(mode('data/ca/ca-key.pem')).toBe('600')
    expect(mode('data/ca/passphrase')).toBe('600')
    expect(read('data/ca/ca-key.pem')).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----/)
  })

  test('takes name, kind of key and life from its options', async () => {
    const subject = '/DC=org/DC=example/CN=Example TTS CA'
    const words = ['--subject', subject, '--key-kind', 'ec-p384', '--lifetime-days', '1000']
    expect(await ca(['init', ...words])).toMatchObject({ code: 0 })
    const about = await shown()
    expect(about).toMatchObject({ subject, issuer: subject, key: 'ec-p384' })
    expect(about['users_under']).toBe('/DC=org/DC=example')
    const life = Date.parse(String(about['not_after'])) - Date.parse(String(about['not_before']))
    expect(life).toBe(1000 * 86_400_000)
  })

  test('does not touch a CA that is there', async () => {
    await ca(['init'])
    const before = [read('data/ca/ca.pem'), read('data/ca/ca-key.pem')]
    const { code, notes } = await ca(['init'])
    expect(code).toBe(1)
    expect(notes).toContain('a CA is never overwritten')
    expect([read('data/ca/ca.pem'), read('data/ca/ca-key.pem')]).toEqual(before)
  })

  test.for([
    { words: ['--subject', 'CN=no slashes'], says: 'slash' },
    { words: ['--key-kind', 'rsa-2048'], says: 'Allowed choices are' },
    { words: ['--lifetime-days', 'many'], says: 'must be a whole number' },
    { words: ['--lifetime-days', '0'], says: '' },
    { words: ['--lifetime-days', '99999'], says: '2049' },
  ])('$words is refused and leaves no certificate', async ({ words, says }) => {
    const { code, notes } = await ca(['init', ...words])
    expect(code).toBe(2)
    expect(notes).toContain(says)
    expect(notes).not.toContain('unexpected')
    expect(existsSync(path('data/ca/ca.pem'))).toBe(false)
  })
})

describe('show', () => {
  test('tells people what the CA is', async () => {
    await ca(['init'])
    const { code, out, notes } = await ca(['show'])
    expect({ code, notes }).toEqual({ code: 0, notes: '' })
    expect(out).toMatch(/^subject {5}: \/C=EU\/O=INDIGO\/OU=TTS\/CN=TTS-CA$/m)
    expect(out).toMatch(/^users under : \/C=EU\/O=INDIGO\/OU=TTS$/m)
    expect(out).toMatch(/^CRL {9}: number 1, next update \S+ {2}\(\d+ days( \d+ hours?)? left\)$/m)
    expect(out).toMatch(/^CRL URL {5}: none \(set listen.public_url or ca.crl_url\)$/m)
    const { fingerprint256 } = new X509Certificate(read('data/ca/ca.pem'))
    const { fingerprint_sha256: shownPrint } = await shown()
    expect(String(shownPrint).replaceAll(':', '').toUpperCase()).toBe(
      fingerprint256.replaceAll(':', ''),
    )
  })

  test.for([['show'], ['crl'], ['export', '/nonexistent/x']])(
    'with no CA %j says how to make one, and makes nothing',
    async (words) => {
      const { code, notes } = await ca(words)
      expect(code).toBe(2)
      expect(notes).toContain(`there is no CA in ${path('data')} yet`)
      expect(notes).toContain('`tts ca init`')
      expect(existsSync(path('data'))).toBe(false)
    },
  )
})

describe('crl', () => {
  test('comes in PEM and in DER', async () => {
    await ca(['init'])
    const pem = await ca(['crl'])
    expect(pem.out).toMatch(/^-----BEGIN X509 CRL-----/)
    const { bytes } = await ca(['crl', '--der'])
    expect(readCrl(bytes)).toMatchObject({ number: 1, revoked: new Map() })
    const checked = await openssl(
      ['crl', '-in', 'crl.pem', '-CAfile', path('data/ca/ca.pem'), '-noout'],
      { 'crl.pem': pem.out },
    )
    expect(checked.text).toContain('verify OK')
  })

  test('a new one is made when it is due, with the next number', async () => {
    await ca(['init'])
    const first = await shown()
    const day = await shown(new Date(Date.now() + 86_400_000))
    const later = await shown(new Date(Date.now() + 20 * 86_400_000))
    expect(first['crl_number']).toBe(1)
    expect(Number(later['crl_number'])).toBeGreaterThan(1)
    expect(Number(day['crl_number'])).toBeLessThanOrEqual(Number(later['crl_number']))
  })
})

describe('export', () => {
  test('writes what others can read, whatever the umask', async () => {
    await ca(['init'])
    const before = process.umask(0o077)
    try {
      const { code, notes } = await ca(['export', path('certificates')])
      expect(code).toBe(0)
      expect(notes).toContain(`files to ${path('certificates')}`)
    } finally {
      process.umask(before)
    }
    expect(mode('certificates')).toBe('755')
    const names = readdirSync(path('certificates'))
    for (const name of names) expect(mode(`certificates/${name}`)).toBe('644')
    const hash = (await openssl(['x509', '-hash', '-noout', '-in', path('data/ca/ca.pem')])).text
    expect(names).toEqual(
      expect.arrayContaining([
        `${hash.trim()}.0`,
        `${hash.trim()}.r0`,
        `${hash.trim()}.signing_policy`,
      ]),
    )
  })

  test('again, over what is there', async () => {
    await ca(['init'])
    expect((await ca(['export', path('certificates')])).code).toBe(0)
    const names = readdirSync(path('certificates'))
    expect((await ca(['export', path('certificates')])).code).toBe(0)
    expect(readdirSync(path('certificates'))).toEqual(names)
  })

  test('`-` is an archive of the same files on standard output', async () => {
    await ca(['init'])
    const { code, bytes, notes } = await ca(['export', '-'])
    expect({ code, notes }).toEqual({ code: 0, notes: '' })
    writeFileSync(path('anchors.tar.gz'), bytes)
    const listed = execFileSync('tar', ['-tzf', path('anchors.tar.gz')], { encoding: 'utf8' })
    await ca(['export', path('certificates')])
    expect(listed.trimEnd().split('\n').sort()).toEqual(readdirSync(path('certificates')).sort())
    expect(existsSync('-')).toBe(false)
  })

  test('a place that cannot be written is named', async () => {
    await ca(['init'])
    writeFileSync(path('file'), '')
    const { code, notes } = await ca(['export', path('file/below')])
    expect(code).toBe(2)
    expect(notes).toContain(
      `the trust anchors cannot be written to ${path('file/below')}: a part of the path is not a directory`,
    )
  })
})

describe('under an outside root', () => {
  /** Signs a request as an outside root does. */
  function signedByRoot(csr: string, extension = 'basicConstraints=critical,CA:TRUE'): string {
    writeFileSync(path('ca.csr'), csr)
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '3000']
    const root = [
      '-keyout',
      path('root.key'),
      '-out',
      path('root.pem'),
      '-subj',
      '/O=Root/CN=Root CA',
    ]
    const usage = 'keyUsage=critical,keyCertSign,cRLSign'
    execFileSync('openssl', ['req', '-x509', ...key, ...root, '-addext', usage], { stdio: 'pipe' })
    writeFileSync(
      path('extensions'),
      `${extension}\n${usage}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n`,
    )
    const by = ['-CA', path('root.pem'), '-CAkey', path('root.key'), '-CAcreateserial']
    const args = ['-req', '-in', path('ca.csr'), '-days', '2000', '-extfile', path('extensions')]
    return execFileSync('openssl', ['x509', ...args, ...by], { encoding: 'utf8', stdio: 'pipe' })
  }

  test('csr, install, show', async () => {
    const subject = '/DC=org/DC=example/CN=Example TTS CA'
    const request = await ca(['csr', '--subject', subject])
    expect(request.code).toBe(0)
    expect(request.out).toMatch(/^-----BEGIN CERTIFICATE REQUEST-----/)
    expect(request.notes).toContain('then run `tts ca install FILE`')
    // Asked again it is the same key.
    const again = await ca(['csr', '--subject', subject])
    const own = signedByRoot(again.out)
    writeFileSync(path('chain.pem'), own + read('root.pem'))
    const { code, notes } = await ca(['install', path('chain.pem')])
    expect(code).toBe(0)
    expect(notes).toContain(`Installed: ${subject} under /O=Root/CN=Root CA, valid until `)
    expect(await shown()).toMatchObject({ subject, issuer: '/O=Root/CN=Root CA' })
    expect(await ca(['renew'])).toMatchObject({ code: 1 })
    expect((await ca(['renew'])).notes).toContain('make a request with `tts ca csr`')
    // `check` knows which kind of CA it speaks of, and looks at the root, too.
    const check = async (days: number) =>
      runTts(['--config', path('tts.yaml'), 'check'], {
        now: () => new Date(Date.now() + days * 86_400_000),
      })
    expect((await check(0)).out).toMatch(
      /^ok {7}ca: \/DC=org\/DC=example\/CN=Example TTS CA, under \/O=Root\/CN=Root CA, \d+ days/m,
    )
    const soon = await check(1800)
    expect(soon.out).toMatch(
      /^warning {2}ca: .*\n {9}-> Run `tts ca csr`, have the request signed/m,
    )
  })

  test('the request of a CA that is there has its name and its key', async () => {
    const subject = '/DC=org/DC=example/CN=Named by an option'
    await ca(['init', '--subject', subject])
    const { out } = await ca(['csr'])
    const text = (
      await openssl(['req', '-noout', '-subject', '-pubkey', '-in', 'csr'], { csr: out })
    ).text
    expect(text).toContain('CN = Named by an option')
    const { publicKey } = new X509Certificate(read('data/ca/ca.pem'))
    expect(text).toContain(publicKey.export({ type: 'spki', format: 'pem' }).toString())
  })

  test.for([
    {
      title: 'is not there',
      content: undefined,
      code: 5,
      says: 'cannot be read: the file or its directory does not exist',
    },
    { title: 'is no PEM', content: 'nothing', code: 2, says: 'the CA in ' },
  ])('a file that $title is not installed', async ({ content, code, says }) => {
    await ca(['csr'])
    if (content !== undefined) writeFileSync(path('chain.pem'), content)
    const run = await ca(['install', path('chain.pem')])
    expect(run.code).toBe(code)
    expect(run.notes).toContain(says)
    expect(existsSync(path('data/ca/ca.pem'))).toBe(false)
  })

  test('a certificate that is no CA, or for another key, is not installed', async () => {
    const { out } = await ca(['csr'])
    writeFileSync(
      path('chain.pem'),
      signedByRoot(out, 'basicConstraints=CA:FALSE') + read('root.pem'),
    )
    expect((await ca(['install', path('chain.pem')])).code).toBe(2)
    // The root's certificate alone: a CA, of another key.
    expect((await ca(['install', path('root.pem')])).code).toBe(2)
    expect(existsSync(path('data/ca/ca.pem'))).toBe(false)
  })

  test('install with no key says what is missing', async () => {
    const { out } = await ca(['csr'])
    writeFileSync(path('chain.pem'), signedByRoot(out) + read('root.pem'))
    rmSync(path('data'), { recursive: true })
    const { code, notes } = await ca(['install', path('chain.pem')])
    expect(code).not.toBe(0)
    expect(notes).toContain('ca-key.pem')
    expect(notes).not.toContain('unexpected')
  })
})

describe('renew', () => {
  const service = useTestService()

  test('keeps key and name; what was issued verifies under the new certificate', async () => {
    const { url, token } = service()
    const config = join(service().directory, 'tts.yaml')
    const file = join(service().directory, 'data/ca/ca.pem')
    const old = readFileSync(file, 'utf8')
    writeFileSync(path('token'), token())
    const words = ['proxy', 'init', '--url', url, '--token-file', path('token'), '-q']
    expect((await runTts([...words, '-o', path('proxy')])).code).toBe(0)

    const renew = ['--config', config, 'ca', 'renew', '--lifetime-days', '8000']
    const { code, notes } = await runTts(renew)
    expect(code).toBe(0)
    expect(notes).toMatch(/^Renewed: .*CN=TTS-CA, valid until .*\. Reload the service/)
    const renewed = readFileSync(file, 'utf8')
    const [before, after] = [new X509Certificate(old), new X509Certificate(renewed)]
    expect(after.serialNumber).not.toBe(before.serialNumber)
    expect(after.subject).toBe(before.subject)
    expect(after.publicKey.equals(before.publicKey)).toBe(true)
    expect(Date.parse(after.validTo)).toBeGreaterThan(Date.parse(before.validTo))

    const bundle = { 'old.pem': old, 'new.pem': renewed, proxy: read('proxy') }
    for (const anchor of ['old.pem', 'new.pem']) {
      const strict = ['-x509_strict', '-allow_proxy_certs', '-no-CApath', '-no-CAstore']
      const args = ['verify', ...strict, '-CAfile', anchor, '-untrusted', 'proxy', 'proxy']
      expect((await openssl(args, bundle)).text).toBe('proxy: OK\n')
    }
  })
})

import { execFileSync } from 'node:child_process'
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  statSync,
  writeFileSync,
  chmodSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { validateChain } from '../../ca/chain.ts'
import { issueEndEntity } from '../../ca/end-entity.ts'
import { readCertificate } from '../../ca/certificate.ts'
import { createSigner, generatePrivateKey } from '../../ca/key.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { nestedValidity } from '../../ca/validity.ts'
import {
  authorityExists,
  authorityPaths,
  initAuthorityFiles,
  installAuthorityFiles,
  openAuthorityFiles,
  requestAuthorityFiles,
} from '../../src/files/authority-files.ts'

const subject = '/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA'
let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-ca-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const options = (passphrase?: string) => ({ dataDirectory: directory, passphrase, randomBytes })
const wanted = () => ({ subject, keyKind: 'ec-p256' as const, lifetimeDays: 365, now: new Date() })
const paths = () => authorityPaths(directory)
const modeOf = (path: string): string => (statSync(path).mode & 0o7777).toString(8)

const install = (certificates: string, now: Date = new Date()) =>
  installAuthorityFiles(options(), { certificates, now })

function openssl(...args: string[]): string {
  return execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe', cwd: directory })
}

describe('a self-signed CA', () => {
  test('is made private, its key encrypted under a passphrase made at random', async () => {
    const authority = await initAuthorityFiles(options(), wanted())
    expect(readdirSync(paths().directory).toSorted()).toEqual([
      'ca-key.pem',
      'ca.pem',
      'passphrase',
    ])
    expect(modeOf(paths().directory)).toBe('700')
    expect(modeOf(paths().privateKey)).toBe('600')
    expect(modeOf(paths().passphrase)).toBe('600')
    expect(modeOf(paths().certificate)).toBe('644')
    const key = readFileSync(paths().privateKey, 'utf8')
    expect(key).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/)
    const passphrase = readFileSync(paths().passphrase, 'utf8').trim()
    expect(passphrase.length).toBeGreaterThanOrEqual(43)
    expect(() => createPrivateKey({ key, passphrase: 'wrong' })).toThrow()
    expect(createPrivateKey({ key, passphrase }).asymmetricKeyType).toBe('ec')
    expect(
      openssl(
        'pkey',
        '-in',
        paths().privateKey,
        '-passin',
        `file:${paths().passphrase}`,
        '-noout',
        '-text',
      ),
    ).toMatch(/prime256v1/)
    expect(new X509Certificate(readFileSync(paths().certificate)).ca).toBe(true)
    expect((await openAuthorityFiles(options())).certificate.der).toEqual(authority.certificate.der)
  })

  test('with a passphrase of the operator none is written', async () => {
    await initAuthorityFiles(options('correct horse'), wanted())
    expect(existsSync(paths().passphrase)).toBe(false)
    await openAuthorityFiles(options('correct horse'))
  })

  test('is never made over another', async () => {
    await initAuthorityFiles(options(), wanted())
    const before = readdirSync(paths().directory).map((name) =>
      readFileSync(join(paths().directory, name)),
    )
    for (const attempt of [
      initAuthorityFiles(options(), wanted()),
      initAuthorityFiles(options('other'), { ...wanted(), subject: '/O=X/CN=Y' }),
    ])
      await expect(attempt).rejects.toMatchObject({ code: 'conflict' })
    expect(
      readdirSync(paths().directory).map((name) => readFileSync(join(paths().directory, name))),
    ).toEqual(before)
  })

  test('of several at once one is made, and it is whole', async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 5 }, async () => initAuthorityFiles(options(), wanted())),
    )
    const made = outcomes.filter((outcome) => outcome.status === 'fulfilled')
    expect(made).toHaveLength(1)
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'conflict' })
    }
    const { certificate } = await openAuthorityFiles(options())
    expect(certificate.der).toEqual(made[0]?.value.certificate.der)
    expect(readdirSync(paths().directory).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  test.for(['', 'TTS-CA', "/O=O'Hara/CN=CA", '/CN=a"b', '/O=ü/CN=CA'])(
    'of the name %j is refused, and leaves nothing',
    async (name) => {
      await expect(
        initAuthorityFiles(options(), { ...wanted(), subject: name }),
      ).rejects.toMatchObject({ code: 'configuration' })
      expect(authorityExists(directory)).toBe(false)
      expect(existsSync(paths().privateKey)).toBe(false)
    },
  )
})

describe('opening', () => {
  const secret = `pass-${randomBytes(6).toString('hex')}`
  test.for([
    {
      name: 'another passphrase',
      spoil: () => undefined,
      passphrase: `${secret}x`,
      says: /passphrase/,
    },
    { name: 'no passphrase', spoil: () => undefined, passphrase: undefined, says: /passphrase/ },
    {
      name: 'no certificate',
      spoil: () => rmSync(paths().certificate),
      passphrase: secret,
      says: /ca\.pem cannot be read/,
    },
    {
      name: 'no key',
      spoil: () => rmSync(paths().privateKey),
      passphrase: secret,
      says: /ca-key\.pem/,
    },
    {
      name: 'a key that others can read',
      spoil: () => chmodSync(paths().privateKey, 0o640),
      passphrase: secret,
      says: /ca-key\.pem .*mode 0640/,
    },
    {
      name: 'a certificate of rubbish',
      spoil: () => writeFileSync(paths().certificate, 'rubbish'),
      passphrase: secret,
      says: /certificate/i,
    },
    {
      name: 'a key of rubbish',
      spoil: () => writeFileSync(paths().privateKey, 'rubbish'),
      passphrase: secret,
      says: /key/,
    },
    {
      name: 'an empty key',
      spoil: () => writeFileSync(paths().privateKey, ''),
      passphrase: secret,
      says: /key/,
    },
    {
      name: 'the key of another CA',
      spoil: () =>
        openssl(
          'genpkey',
          '-algorithm',
          'EC',
          '-pkeyopt',
          'ec_paramgen_curve:P-256',
          '-aes256',
          '-pass',
          `pass:${secret}`,
          '-out',
          paths().privateKey,
        ),
      passphrase: secret,
      says: /key/,
    },
  ])('$name: refused, saying which', async ({ spoil, passphrase, says }) => {
    await initAuthorityFiles(options(secret), wanted())
    spoil()
    const error = await openAuthorityFiles(options(passphrase)).catch((failure: unknown) => failure)
    expect((error as { code?: string }).code).toMatch(/^(configuration|not_found)$/)
    expect((error as Error).message).toMatch(says)
    expect((error as Error).message).not.toContain(secret)
  })
})

describe('an intermediate under an outside root', () => {
  /** A root made by the real openssl, which signs a request. */
  function rootSigns(name: string, extensions: string, days = '30'): string {
    openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      `/O=Outside/CN=${name}`,
      '-days',
      '60',
      '-addext',
      'basicConstraints=critical,CA:TRUE',
      '-addext',
      'keyUsage=critical,keyCertSign,cRLSign',
      '-keyout',
      'root.key',
      '-out',
      'root.pem',
    )
    writeFileSync(join(directory, 'ext'), extensions)
    openssl(
      'x509',
      '-req',
      '-in',
      paths().request,
      '-CA',
      'root.pem',
      '-CAkey',
      'root.key',
      '-days',
      days,
      '-extfile',
      'ext',
      '-out',
      'signed.pem',
    )
    return readFileSync(join(directory, 'signed.pem'), 'utf8')
  }
  const root = (): string => readFileSync(join(directory, 'root.pem'), 'utf8')
  const caExtensions =
    'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n'

  test('request, sign, install, issue; openssl verifies', async () => {
    const csr = await requestAuthorityFiles(options(), wanted())
    expect(openssl('req', '-in', paths().request, '-noout', '-verify', '-subject')).toMatch(
      /TTS-CA/,
    )
    expect(authorityExists(directory)).toBe(false)
    // Asked again: the same key.
    const again = await requestAuthorityFiles(options(), wanted())
    const keyOf = (text: string): string => {
      writeFileSync(join(directory, 'a.csr'), text)
      return openssl('req', '-in', 'a.csr', '-noout', '-pubkey')
    }
    expect(keyOf(again)).toBe(keyOf(csr))

    await install(`${rootSigns('Root', caExtensions)}${root()}`)
    const authority = await openAuthorityFiles(options())
    expect(authority.chain).toHaveLength(1)
    const signer = createSigner(await generatePrivateKey('ec-p256'))
    const der = await issueEndEntity(authority, {
      subject: parseSlashDn('/C=EU/O=INDIGO/OU=TTS/CN=x@y'),
      publicKey: signer.publicKey,
      validity: nestedValidity(new Date(), 3600, authority.certificate.validity),
      serial: Buffer.from('0a0b', 'hex'),
      profile: { crlUrl: undefined, policyOids: [] },
    })
    const certificates = [readCertificate(der), authority.certificate]
    expect(
      validateChain({
        certificates,
        anchors: [...authority.chain, authority.certificate],
        now: new Date(),
        allowProxies: false,
      }).problems,
    ).toEqual([])
    writeFileSync(join(directory, 'eec.der'), der)
    openssl('x509', '-inform', 'DER', '-in', 'eec.der', '-out', 'eec.pem')
    expect(
      openssl(
        'verify',
        '-x509_strict',
        '-CAfile',
        'root.pem',
        '-untrusted',
        paths().certificate,
        'eec.pem',
      ),
    ).toMatch(/OK/)
  })

  test.for([
    { name: 'a certificate for another key', text: () => root() },
    { name: 'no certificate', text: () => 'rubbish' },
    { name: 'the chain alone', text: () => `${root()}${root()}` },
    { name: 'a chain that does not fit', text: (signed: string) => `${signed}${signed}` },
    {
      name: 'one that is no CA',
      extensions: 'basicConstraints=critical,CA:FALSE\n',
      text: (signed: string) => `${signed}${root()}`,
    },
  ])('$name: refused, and nothing is installed', async ({ extensions, text }) => {
    await requestAuthorityFiles(options(), wanted())
    const signed = rootSigns('Root', extensions ?? caExtensions)
    await expect(install(text(signed))).rejects.toMatchObject({
      code: 'configuration',
    })
    expect(authorityExists(directory)).toBe(false)
  })

  test.for([
    { name: 'expired', days: 31, says: /certificate of .*CN=TTS-CA expired on 20/ },
    { name: 'under a root that has expired', days: 61, says: / expired on 20/ },
    { name: 'not yet valid', days: -1, says: /CN=TTS-CA is not valid before 20/ },
  ])('a certificate that is $name is refused', async ({ days, says }) => {
    await requestAuthorityFiles(options(), wanted())
    const signed = rootSigns('Root', caExtensions)
    const now = new Date(Date.now() + days * 86_400_000)
    await expect(install(`${signed}${root()}`, now)).rejects.toMatchObject({
      code: 'configuration',
      check: 'authority_validity',
      message: expect.stringMatching(says) as string,
    })
    expect(authorityExists(directory)).toBe(false)
  })

  test('a certificate of our key for another name is refused, before and after the first', async () => {
    await requestAuthorityFiles(options(), { ...wanted(), subject: `${subject}-2` })
    const other = rootSigns('Root', caExtensions) + root()
    await requestAuthorityFiles(options(), wanted())
    const refusal = {
      check: 'authority_name',
      message: `the certificate is for ${subject}-2, but this CA is ${subject}`,
    }
    await expect(install(other)).rejects.toMatchObject(refusal)
    expect(authorityExists(directory)).toBe(false)
    await install(rootSigns('Root', caExtensions) + root())
    rmSync(paths().request)
    await expect(install(other)).rejects.toMatchObject(refusal)
  })

  test('a link in place of the request is not written through', async () => {
    await requestAuthorityFiles(options(), wanted())
    const target = join(directory, 'target')
    writeFileSync(target, 'untouched')
    rmSync(paths().request)
    symlinkSync(target, paths().request)
    await expect(requestAuthorityFiles(options(), wanted())).rejects.toMatchObject({
      check: 'symbolic_link',
    })
    expect(readFileSync(target, 'utf8')).toBe('untouched')
  })

  test('a renewed certificate takes the place of the old one, another key does not', async () => {
    await requestAuthorityFiles(options(), wanted())
    await install(`${rootSigns('Root', caExtensions)}${root()}`)
    const before = readFileSync(paths().certificate, 'utf8')
    const renewed = rootSigns('Root', caExtensions, '40')
    await install(`${renewed}${root()}`)
    expect(readFileSync(paths().certificate, 'utf8')).not.toBe(before)
    expect(modeOf(paths().certificate)).toBe('644')
  })

  test('while it waits for its certificate no other CA is made over its key', async () => {
    await requestAuthorityFiles(options(), wanted())
    const key = readFileSync(paths().privateKey)
    await expect(initAuthorityFiles(options(), wanted())).rejects.toMatchObject({
      code: 'conflict',
    })
    expect(readFileSync(paths().privateKey)).toEqual(key)
  })
})

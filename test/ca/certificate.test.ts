import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  type Asn1Node,
  bitString,
  characterString,
  booleanTrue,
  encode,
  explicit,
  octetString,
  oid,
  sequence,
  smallInteger,
  Tag,
} from '../../ca/asn1.ts'
import { childrenOf, decode } from '../../ca/asn1-read.ts'
import type { Authority } from '../../ca/authority.ts'
import {
  findExtension,
  fingerprint,
  readCertificate,
  readExtensionList,
} from '../../ca/certificate.ts'
import {
  type CertificateTemplate,
  checkWithOpenSsl,
  type EncodedTemplate,
  signCertificate,
  signEncoded,
} from '../../ca/sign-certificate.ts'
import { CaError } from '../../ca/errors.ts'
import { extensionOids, extensionsField } from '../../ca/extensions.ts'
import type { Signer } from '../../ca/key.ts'
import { nameNode } from '../../ca/name.ts'
import { formatSlashDn } from '../../ca/name-text.ts'
import { authorityName, makeAuthority, userName, validFor } from '../support/issuing.ts'
import { sharedSigner } from '../support/keys.ts'
import { openssl } from '../support/openssl.ts'

let authority: Authority
let signer: Signer
let template: CertificateTemplate
beforeAll(async () => {
  authority = await makeAuthority('ec-p256')
  ;({ signer } = authority)
  template = {
    serial: Buffer.of(1),
    issuer: nameNode(authorityName),
    subject: nameNode(userName),
    validity: validFor(0, 60),
    publicKey: signer.publicKey,
    extensions: [],
  }
})

const refusal = (code: string, message: RegExp): Error =>
  expect.objectContaining({
    name: 'CaError',
    code,
    message: expect.stringMatching(message) as string,
  }) as Error

describe('signCertificate', () => {
  test.for([
    [
      'flips a bit',
      (signature: Buffer) => signature.map((byte, index) => (index === 20 ? byte ^ 1 : byte)),
    ],
    ['signs nothing', () => Buffer.alloc(0)],
    ['signs zeros', () => Buffer.alloc(71)],
  ] as const)('gives nothing out when the signer %s', async ([, change]) => {
    const bad: Signer = {
      ...signer,
      sign: async (data) => Buffer.from(change(await signer.sign(data))),
    }
    await expect(signCertificate(template, bad)).rejects.toThrow(refusal('self_check_failed', /./))
  })

  test('gives nothing out when the signer has another key', async () => {
    const other = await sharedSigner('ec-p256', 'another')
    await expect(
      signCertificate(template, { ...other, publicKey: signer.publicKey }),
    ).rejects.toThrow(refusal('self_check_failed', /signature does not verify/))
  })

  test('gives nothing out when the signer signs something else', async () => {
    const bad: Signer = { ...signer, sign: (data) => signer.sign(data.subarray(1)) }
    await expect(signCertificate(template, bad)).rejects.toThrow(
      refusal('self_check_failed', /signature/),
    )
  })

  test('passes on that the signer fails', async () => {
    const failing: Signer = { ...signer, sign: () => Promise.reject(new Error('HSM away')) }
    await expect(signCertificate(template, failing)).rejects.toThrow('HSM away')
  })

  test.for(['', '00', `80${'00'.repeat(19)}`, '01'.repeat(21)])(
    'serial number "%s" is refused',
    async (hex) => {
      const serial = Buffer.from(hex, 'hex')
      await expect(signCertificate({ ...template, serial }, signer)).rejects.toThrow(
        refusal('bad_request', /serial/),
      )
    },
  )

  test.for([
    ['01', '01'],
    ['ff', '00ff'],
    ['0001', '01'],
    ['7f'.repeat(20), '7f'.repeat(20)],
  ] as const)('serial number %s is written as %s', async ([hex, content]) => {
    const der = await signCertificate({ ...template, serial: Buffer.from(hex, 'hex') }, signer)
    expect(readCertificate(der).serial).toBe(content)
  })

  test.for([
    ['2049-12-31T23:59:59Z', 'UTCTIME'],
    ['2050-01-01T00:00:00Z', 'GENERALIZEDTIME'],
  ] as const)('an end at %s is a %s', async ([end, kind]) => {
    const validity = { ...template.validity, notAfter: new Date(end) }
    const der = await signCertificate({ ...template, validity }, signer)
    expect(readCertificate(der).validity.notAfter).toEqual(new Date(end))
    const { text } = await openssl(['asn1parse', '-inform', 'DER', '-in', 'c'], { c: der })
    expect(text.split('\n').filter((line) => line.includes('TIME'))[1]).toContain(kind)
  })
})

describe('signEncoded', () => {
  const encoded = (changes: Partial<EncodedTemplate> = {}): EncodedTemplate => ({
    ...template,
    issuer: encode(template.issuer),
    subject: encode(template.subject),
    extensions: encode(extensionsField([])),
    ...changes,
  })

  test('makes the same certificate', async () => {
    // RSA: its signatures are the same each time.
    const rsa = await sharedSigner('rsa-2048')
    const publicKey = rsa.publicKey
    const whole = await signCertificate({ ...template, publicKey }, rsa)
    expect(await signEncoded(encoded({ publicKey }), rsa)).toEqual(whole)
  })

  test.for<readonly [string, () => Partial<EncodedTemplate>, RegExp]>([
    [
      'one value more',
      () => ({ issuer: Buffer.concat([encode(template.issuer), encode(template.issuer)]) }),
      /its bytes differ/,
    ],
    ['nothing', () => ({ subject: Buffer.alloc(0) }), /its bytes differ/],
    [
      'two values and another one nothing',
      () => ({
        issuer: Buffer.concat([encode(template.issuer), encode(template.issuer)]),
        subject: Buffer.alloc(0),
      }),
      /its bytes differ/,
    ],
    ['the beginning of a value', () => ({ extensions: Buffer.of(0xa3, 0x7f) }), /cannot be read/],
    [
      'a length in a longer form',
      () => ({ extensions: Buffer.of(0xa3, 0x81, 0x02, 0x30, 0x00) }),
      /cannot be read/,
    ],
  ])('gives nothing out when a part is %s', async ([, changes, message]) => {
    await expect(signEncoded(encoded(changes()), signer)).rejects.toThrow(
      refusal('self_check_failed', message),
    )
  })

  test('gives nothing out when the signature is wrong', async () => {
    const bad: Signer = { ...signer, sign: (data) => signer.sign(data.subarray(1)) }
    await expect(signEncoded(encoded(), bad)).rejects.toThrow(
      refusal('self_check_failed', /signature does not verify/),
    )
  })
})

describe('what OpenSSL reads', () => {
  test.for<readonly [string, () => Promise<Partial<CertificateTemplate>>, string]>([
    ['another serial number', async () => ({ serial: Buffer.of(2) }), 'serial'],
    ['another end', async () => ({ validity: validFor(0, 61) }), 'validity.notAfter'],
    [
      'another key',
      async () => ({ publicKey: (await sharedSigner('ec-p256', 'another')).publicKey }),
      'publicKey',
    ],
  ])('%s is noticed', async ([, changes, field]) => {
    const der = await signCertificate(template, signer)
    expect(() => checkWithOpenSsl(der, template)).not.toThrow()
    const other = { ...template, ...(await changes()) }
    expect(() => checkWithOpenSsl(der, other)).toThrow(
      expect.objectContaining({
        code: 'self_check_failed',
        details: expect.objectContaining({ field }) as object,
      }) as Error,
    )
  })

  test('bytes that are no certificate are noticed', () => {
    expect(() => checkWithOpenSsl(Buffer.from('3000', 'hex'), template)).toThrow(
      refusal('self_check_failed', /cannot be read/),
    )
  })
})

describe('readCertificate', () => {
  test('reads what was written', async () => {
    const der = await signCertificate(template, signer)
    const read = readCertificate(der)
    expect(read).toMatchObject({
      version: 3,
      serial: '01',
      validity: template.validity,
      extensions: [],
    })
    expect([formatSlashDn(read.issuer), formatSlashDn(read.subject)]).toEqual([
      formatSlashDn(authorityName),
      formatSlashDn(userName),
    ])
    expect(encode(read.publicKeyInfo)).toEqual(signer.publicKey.info)
    const { text } = await openssl(
      ['x509', '-inform', 'DER', '-in', 'c', '-noout', '-fingerprint', '-sha256'],
      { c: der },
    )
    expect(text.replaceAll(':', '').toLowerCase()).toContain(fingerprint(der))
  })

  test('any damage gives a certificate or a refusal', () => {
    const { der } = authority.certificate
    const damage = fc.array(fc.tuple(fc.nat(der.length - 1), fc.nat(255)), {
      minLength: 1,
      maxLength: 4,
    })
    fc.assert(
      fc.property(damage, (changes) => {
        const bytes = Buffer.from(der)
        for (const [index, value] of changes) bytes[index] = value
        try {
          const { tbs } = readCertificate(bytes)
          expect(bytes.includes(tbs)).toBe(true)
        } catch (error) {
          expect(error).toBeInstanceOf(CaError)
        }
      }),
      { numRuns: 500 },
    )
  })

  /** The parts of a good certificate, some of them changed. */
  const changed = (change: (tbs: Asn1Node[], outer: Asn1Node[]) => void): Buffer => {
    const outer = [...childrenOf(decode(authority.certificate.der, 'certificate'), 'certificate')]
    const tbs = [...childrenOf(outer[0], 'tbs')]
    change(tbs, outer)
    return encode(sequence(sequence(...tbs), ...outer.slice(1)))
  }
  test.for<readonly [string, (tbs: Asn1Node[], outer: Asn1Node[]) => void]>([
    ['another algorithm outside than inside', (_tbs, outer) => (outer[1] = sequence(oid('1.2.3')))],
    ['a fourth part', (_tbs, outer) => outer.push(smallInteger(1))],
    ['no signature', (_tbs, outer) => outer.pop()],
    ['a signature with unused bits', (_tbs, outer) => (outer[2] = bitString(Buffer.of(2), 1))],
    ['no key', (tbs) => tbs.splice(6)],
    ['a serial number of text', (tbs) => (tbs[1] = octetString(Buffer.of(1)))],
    ['one time only', (tbs) => (tbs[4] = sequence())],
    ['an issuer that is no name', (tbs) => (tbs[3] = smallInteger(1))],
    ['extensions that are no list', (tbs) => (tbs[7] = explicit(3, smallInteger(1)))],
    [
      'an extension without value',
      (tbs) => (tbs[7] = explicit(3, sequence(sequence(oid('1.2.3'))))),
    ],
    [
      'an extension whose identifier has a padded arc',
      (tbs) => {
        const padded = characterString(Tag.oid, Buffer.of(0x55, 0x80, 0x1d))
        tbs[7] = explicit(3, sequence(sequence(padded, octetString(Buffer.of(5, 0)))))
      },
    ],
    ['an empty extension', (tbs) => (tbs[7] = explicit(3, sequence(sequence())))],
  ])('%s is refused', ([, change]) => {
    expect(() => readCertificate(changed(change))).toThrow(refusal('malformed', /./))
  })

  test('the bytes that are changed nowhere are the certificate', () => {
    expect(changed(() => undefined)).toEqual(authority.certificate.der)
  })

  test('critical is what says so', () => {
    const value = octetString(Buffer.of(5, 0))
    const list = sequence(
      sequence(oid('2.5.29.15'), booleanTrue(), value),
      sequence(oid('2.5.29.19'), value),
    )
    expect(readExtensionList(list).map(({ critical }) => critical)).toEqual([true, false])
    expect(findExtension(authority.certificate, extensionOids.basicConstraints)?.critical).toBe(
      true,
    )
    expect(findExtension(authority.certificate, extensionOids.proxyCertInfo)).toBeUndefined()
  })
})

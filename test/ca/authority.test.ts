import { beforeAll, describe, expect, test } from 'vitest'
import { createRootCertificate, openAuthority } from '../../ca/authority.ts'
import { readCertificate } from '../../ca/certificate.ts'
import { basicConstraints, keyUsage } from '../../ca/extensions.ts'
import type { KeyKind } from '../../ca/key.ts'
import type { DistinguishedName } from '../../ca/name.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { toPem } from '../../ca/pem.ts'
import {
  type Built,
  buildChain,
  type BuiltChain,
  type ChainPlan,
  testKey,
} from '../support/certificate-builder.ts'
import { authorityName, day, now, validFor } from '../support/issuing.ts'
import { sharedKey, sharedSigner } from '../support/keys.ts'
import { colons, openssl, opensslRefusal } from '../support/openssl.ts'

const refusal = (code: string, message = /./): Error =>
  expect.objectContaining({
    name: 'CaError',
    code,
    message: expect.stringMatching(message) as string,
  }) as Error
const pem = (...built: readonly (Built | undefined)[]): string =>
  built.map((one) => toPem('CERTIFICATE', one?.certificate.der ?? Buffer.alloc(0))).join('')

const rootRequest = async (
  kind: KeyKind = 'ec-p256',
): Promise<Parameters<typeof createRootCertificate>[0]> => ({
  subject: authorityName,
  privateKey: await sharedKey(kind, 'authority'),
  validity: validFor(-300, 7300 * day),
  serial: Buffer.of(0x40, 1),
})

describe('a root', () => {
  test.for([
    ['rsa-3072', 'sha256WithRSAEncryption'],
    ['ec-p256', 'ecdsa-with-SHA256'],
    ['ec-p384', 'ecdsa-with-SHA384'],
  ] as const)('of %s is what openssl reads', async ([kind, algorithm]) => {
    const der = await createRootCertificate(await rootRequest(kind))
    const keyId = colons((await sharedSigner(kind, 'authority')).publicKey.keyId)
    const { text } = await openssl(['x509', '-inform', 'DER', '-in', 'c', '-noout', '-text'], {
      c: der,
    })
    const lines = text.split('\n').map((line) => line.trim())
    const extensions = lines.indexOf('X509v3 extensions:')
    expect(lines.slice(extensions + 1, extensions + 9)).toEqual([
      'X509v3 Basic Constraints: critical',
      'CA:TRUE, pathlen:0',
      'X509v3 Key Usage: critical',
      'Certificate Sign, CRL Sign',
      'X509v3 Subject Key Identifier:',
      keyId,
      'X509v3 Authority Key Identifier:',
      keyId,
    ])
    expect(lines[extensions + 9]).toBe(`Signature Algorithm: ${algorithm}`)
    expect(lines).toContain('Not After : Nov 18 12:00:00 2046 GMT')
    expect(readCertificate(der)).toMatchObject({ issuer: authorityName, subject: authorityName })
    const leaf = readCertificate(der)
    expect(await opensslRefusal({ leaf, untrusted: [], anchors: [leaf], now })).toBeUndefined()
  })

  test.for<readonly [string, DistinguishedName]>([
    ['no name', []],
    ['an apostrophe', parseSlashDn("/O=a/CN=b'c")],
    ['a slash', parseSlashDn('/CN=a\\/b')],
    ['a quote', parseSlashDn('/CN=a"b')],
    ['an asterisk', parseSlashDn('/CN=a*')],
    ['a plus', parseSlashDn('/CN=a\\+b')],
    ['a letter outside of ASCII', parseSlashDn('/CN=é')],
    ['a line end', parseSlashDn('/CN=a\\x0A')],
    ['an empty value', parseSlashDn('/CN=')],
    ['65 characters', parseSlashDn(`/CN=${'x'.repeat(65)}`)],
    ['two attributes in one RDN', parseSlashDn('/CN=a+O=b')],
    ['a value of DER', parseSlashDn('/CN=#0500')],
  ])('with %s is refused', async ([, subject]) => {
    await expect(createRootCertificate({ ...(await rootRequest()), subject })).rejects.toThrow(
      refusal('bad_name'),
    )
  })

  test.for<readonly [string, object, string]>([
    ['that ends before it begins', { validity: validFor(60, 0) }, 'bad_lifetime'],
    ['that ends as it begins', { validity: validFor(0, 0) }, 'bad_lifetime'],
    [
      'without end',
      { validity: { notBefore: now, notAfter: new Date(Number.NaN) } },
      'bad_lifetime',
    ],
    ['with serial number 0', { serial: Buffer.of(0) }, 'bad_request'],
  ])('%s is refused', async ([, changes, code]) => {
    await expect(createRootCertificate({ ...(await rootRequest()), ...changes })).rejects.toThrow(
      refusal(code),
    )
  })

  test('of a weak key is refused', async () => {
    const privateKey = await testKey('weak', 'rsa-1024')
    await expect(createRootCertificate({ ...(await rootRequest()), privateKey })).rejects.toThrow(
      refusal('weak_key'),
    )
  })
})

describe('opening', () => {
  let chain: BuiltChain
  beforeAll(async () => {
    chain = await buildChain({ intermediate: {} })
  })
  const key = (): Built['privateKey'] =>
    chain.intermediate?.privateKey ?? chain.authority.privateKey

  test('a root', () => {
    const opened = openAuthority(pem(chain.authority), chain.authority.privateKey)
    expect(opened.certificate.der).toEqual(chain.authority.certificate.der)
    expect(opened.chain).toEqual([])
  })

  test('an intermediate with its chain, text around it', () => {
    const opened = openAuthority(
      `issuing CA:\n${pem(chain.intermediate)}root:\n${pem(chain.authority)}`,
      key(),
    )
    expect(opened.chain.map(({ der }) => der)).toEqual([chain.authority.certificate.der])
  })

  test.for<readonly [string, () => string, RegExp]>([
    ['nothing', () => '', /no CA certificate/],
    ['text', () => 'hello', /no CA certificate/],
    ['other blocks', () => toPem('X509 CRL', Buffer.of(1)), /no CA certificate/],
    [
      'a chain without root',
      () => pem(chain.intermediate),
      /chain ends at .*add the certificates above/,
    ],
    [
      'the root first',
      () => pem(chain.authority, chain.intermediate),
      /does not belong to the private key/,
    ],
    [
      'the root of others',
      () => pem(chain.intermediate, chain.endEntity),
      /not signed by the next/,
    ],
    [
      'the root twice',
      () => pem(chain.intermediate, chain.authority, chain.authority),
      /after its root/,
    ],
    [
      'an EEC behind the root',
      () => pem(chain.intermediate, chain.authority, chain.endEntity),
      /after its root/,
    ],
  ])('%s is refused', ([, file, message]) => {
    expect(() => openAuthority(file(), key())).toThrow(refusal('bad_authority', message))
  })

  test('a root of the same name and another key is refused', async () => {
    const foreign = await buildChain({ authority: { privateKey: await testKey('foreign') } })
    expect(() => openAuthority(pem(chain.intermediate, foreign.authority), key())).toThrow(
      refusal('bad_authority', /not signed by the next/),
    )
  })

  test('a root of another name is refused', async () => {
    const foreign = await buildChain({ authority: { subject: parseSlashDn('/CN=other') } })
    expect(() => openAuthority(pem(chain.intermediate, foreign.authority), key())).toThrow(
      refusal('bad_authority', /not signed by the next/),
    )
  })

  test.for<readonly [string, ChainPlan['intermediate'], RegExp]>([
    [
      'CA:FALSE',
      { extensions: { basicConstraints: basicConstraints() } },
      /basicConstraints CA:TRUE is missing/,
    ],
    ['no basicConstraints', { extensions: { basicConstraints: undefined } }, /basicConstraints/],
    [
      'no cRLSign',
      { extensions: { keyUsage: keyUsage(['keyCertSign']) } },
      /keyCertSign and cRLSign/,
    ],
    [
      'no keyCertSign',
      { extensions: { keyUsage: keyUsage(['cRLSign']) } },
      /keyCertSign and cRLSign/,
    ],
    ['a broken signature', { brokenSignature: true }, /not signed by the next/],
    ['an issuer of another name', { issuer: parseSlashDn('/CN=other') }, /not signed by the next/],
  ])('an intermediate with %s is refused', async ([, intermediate, message]) => {
    const bad = await buildChain({ intermediate: intermediate ?? {} })
    expect(() => openAuthority(pem(bad.intermediate, bad.authority), key())).toThrow(
      refusal('bad_authority', message),
    )
  })

  test('an intermediate without keyUsage is taken', async () => {
    const { intermediate, authority } = await buildChain({
      intermediate: { extensions: { keyUsage: undefined } },
    })
    expect(openAuthority(pem(intermediate, authority), key()).chain).toHaveLength(1)
  })

  test('a root that is no CA is refused', async () => {
    const bad = await buildChain({
      intermediate: {},
      authority: { extensions: { basicConstraints: undefined } },
    })
    expect(() => openAuthority(pem(bad.intermediate, bad.authority), key())).toThrow(
      refusal('bad_authority', /in the chain is not that of a CA/),
    )
  })

  test('a root whose own signature is broken is refused', async () => {
    const bad = await buildChain({ intermediate: {}, authority: { brokenSignature: true } })
    expect(() => openAuthority(pem(bad.intermediate, bad.authority), key())).toThrow(
      refusal('bad_authority'),
    )
  })

  test('another key is refused', async () => {
    for (const other of [await testKey('foreign'), await sharedKey('ec-p256')])
      expect(() => openAuthority(pem(chain.authority), other)).toThrow(
        refusal('bad_authority', /private key/),
      )
  })

  test('a weak key is refused', async () => {
    const weak = await buildChain({ authority: { key: 'rsa-1024' } })
    expect(() => openAuthority(pem(weak.authority), weak.authority.privateKey)).toThrow(
      refusal('weak_key'),
    )
  })

  test('a certificate that is none is refused', () => {
    expect(() => openAuthority(toPem('CERTIFICATE', Buffer.of(0x30, 0)), key())).toThrow(
      refusal('malformed'),
    )
  })
})

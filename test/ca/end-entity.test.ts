import { beforeAll, describe, expect, test } from 'vitest'
import { octetString, sequence, smallInteger } from '../../ca/asn1.ts'
import type { Authority } from '../../ca/authority.ts'
import { readCertificate } from '../../ca/certificate.ts'
import { type EndEntityRequest, issueEndEntity } from '../../ca/end-entity.ts'
import { extensionOids } from '../../ca/extensions.ts'
import type { DistinguishedName } from '../../ca/name.ts'
import { formatSlashDn, parseSlashDn } from '../../ca/name-text.ts'
import { serialDecimal } from '../../ca/serial.ts'
import { asAuthority, buildChain } from '../support/certificate-builder.ts'
import { anyExtension } from '../support/extensions.ts'
import {
  authorityName,
  endEntityRequest,
  makeAuthority,
  now,
  userName,
  validFor,
} from '../support/issuing.ts'
import { colons, openssl, opensslRefusal } from '../support/openssl.ts'

let authority: Authority
let request: EndEntityRequest
beforeAll(async () => {
  authority = await makeAuthority()
  request = await endEntityRequest()
})

const refusal = (code: string): Error => expect.objectContaining({ name: 'CaError', code }) as Error

/** What openssl says of all extensions, line by line. */
async function extensionText(der: Buffer): Promise<string[]> {
  const hidden = [
    'header',
    'version',
    'serial',
    'signame',
    'validity',
    'subject',
    'issuer',
    'pubkey',
    'sigdump',
  ]
  const certopt = hidden.map((part) => `no_${part}`).join(',')
  const args = ['x509', '-inform', 'DER', '-in', 'c', '-noout', '-text', '-certopt', certopt]
  const { text } = await openssl(args, { c: der })
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
}

describe('the profile of EECs', () => {
  const full = {
    crlUrl: 'http://tts.example.org/crl.der',
    policyOids: ['1.2.840.113612.5.2.2.6.1', '1.3.6.1.4.1.99999.1.2'],
  }

  test('RSA with everything, as openssl reads it', async () => {
    const subjectUri = 'https://iam.example.org/#sub=9e499e0e'
    const der = await issueEndEntity(authority, { ...request, profile: full, subjectUri })
    expect(await extensionText(der)).toEqual([
      'X509v3 extensions:',
      'X509v3 Basic Constraints: critical',
      'CA:FALSE',
      'X509v3 Key Usage: critical',
      'Digital Signature, Key Encipherment',
      'X509v3 Extended Key Usage:',
      'TLS Web Client Authentication',
      'X509v3 Subject Key Identifier:',
      colons(request.publicKey.keyId),
      'X509v3 Authority Key Identifier:',
      colons(authority.signer.publicKey.keyId),
      'X509v3 Certificate Policies:',
      'Policy: 1.2.840.113612.5.2.2.6.1',
      'Policy: 1.3.6.1.4.1.99999.1.2',
      'X509v3 CRL Distribution Points:',
      'Full Name:',
      'URI:http://tts.example.org/crl.der',
      'X509v3 Subject Alternative Name:',
      'URI:https://iam.example.org/#sub=9e499e0e',
    ])
  })

  test('EC with the least, as openssl reads it', async () => {
    const ec = await endEntityRequest('ec-p256')
    const der = await issueEndEntity(authority, ec)
    expect((await extensionText(der)).slice(3)).toEqual([
      'X509v3 Key Usage: critical',
      'Digital Signature',
      'X509v3 Extended Key Usage:',
      'TLS Web Client Authentication',
      'X509v3 Subject Key Identifier:',
      colons(ec.publicKey.keyId),
      'X509v3 Authority Key Identifier:',
      colons(authority.signer.publicKey.keyId),
    ])
  })

  test('only basicConstraints and keyUsage are critical', async () => {
    const der = await issueEndEntity(authority, { ...request, profile: full, subjectUri: 'a:b' })
    const critical = readCertificate(der).extensions.filter((extension) => extension.critical)
    expect(critical.map(({ oid }) => oid)).toEqual([
      extensionOids.basicConstraints,
      extensionOids.keyUsage,
    ])
  })

  test('names, times and serial number are those asked for', async () => {
    const read = readCertificate(await issueEndEntity(authority, request))
    expect(read).toMatchObject({
      version: 3,
      serial: request.serial.toString('hex'),
      subject: userName,
      issuer: authorityName,
      validity: request.validity,
    })
    const { text } = await openssl(
      [
        'x509',
        '-inform',
        'DER',
        '-in',
        'c',
        '-noout',
        '-serial',
        '-startdate',
        '-enddate',
        '-subject',
        '-issuer',
        '-nameopt',
        'compat',
      ],
      { c: read.der },
    )
    expect(text.trim().split('\n')).toEqual([
      `serial=${BigInt(serialDecimal(request.serial)).toString(16).toUpperCase()}`,
      'notBefore=Nov 23 11:55:00 2026 GMT',
      'notAfter=Dec  4 12:00:00 2026 GMT',
      `subject=${formatSlashDn(userName)}`,
      `issuer=${formatSlashDn(authorityName)}`,
    ])
  })

  test.for(['ec-p256', 'ec-p384', 'rsa-3072'] as const)(
    'a CA with %s signs what openssl accepts',
    async (kind) => {
      const other = await makeAuthority(kind)
      const leaf = readCertificate(await issueEndEntity(other, request))
      const algorithms = {
        'ec-p256': 'ecdsa-with-SHA256',
        'ec-p384': 'ecdsa-with-SHA384',
        'rsa-3072': 'sha256WithRSAEncryption',
      }
      const { text } = await openssl(['x509', '-inform', 'DER', '-in', 'c', '-noout', '-text'], {
        c: leaf.der,
      })
      expect(text.match(/Signature Algorithm: .*/g)).toEqual(
        Array<string>(2).fill(`Signature Algorithm: ${algorithms[kind]}`),
      )
      expect(
        await opensslRefusal({
          leaf,
          untrusted: [],
          anchors: [other.certificate],
          now,
          allowProxies: false,
        }),
      ).toBeUndefined()
    },
  )
})

describe('the issuer', () => {
  test('that states its key identifier by another method is named by it', async () => {
    // An outside root may have made it by RFC 7093; openssl refuses a chain in which the two differ.
    const stated = Buffer.from('0102030405060708', 'hex')
    const extensions = { subjectKeyIdentifier: anyExtension('2.5.29.14', octetString(stated)) }
    const chain = await buildChain({ intermediate: { extensions } })
    if (!chain.intermediate) throw new Error('no intermediate')
    const leaf = readCertificate(await issueEndEntity(asAuthority(chain.intermediate), request))
    expect(await extensionText(leaf.der)).toContain(colons(stated))
    const untrusted = [chain.intermediate.certificate]
    const anchors = [chain.authority.certificate]
    expect(await opensslRefusal({ leaf, untrusted, anchors, now })).toBeUndefined()
  })

  test('that states none is named by its key', async () => {
    const { authority: built } = await buildChain({
      authority: { extensions: { subjectKeyIdentifier: undefined } },
    })
    const issuing = asAuthority(built)
    const leaf = await issueEndEntity(issuing, request)
    expect(await extensionText(leaf)).toContain(colons(issuing.signer.publicKey.keyId))
  })

  test('whose key identifier cannot be read issues nothing', async () => {
    const extensions = {
      subjectKeyIdentifier: anyExtension('2.5.29.14', sequence(smallInteger(1))),
    }
    const { authority: built } = await buildChain({ authority: { extensions } })
    await expect(issueEndEntity(asAuthority(built), request)).rejects.toThrow(refusal('malformed'))
  })
})

describe('subjects', () => {
  const withCn = (value: string): DistinguishedName => [
    ...parseSlashDn('/C=EU/O=INDIGO/OU=TTS'),
    [{ type: '2.5.4.3', value }],
  ]
  test.for<readonly [string, DistinguishedName]>([
    ['CN=proxy', withCn('proxy')],
    ['CN=limited proxy', withCn('limited proxy')],
    ['CN=Proxy', withCn('Proxy')],
    ['a CN of digits', withCn('12345')],
    ['a CN of one digit', withCn('0')],
    ['an empty CN', withCn('')],
    ['a CN of 65 characters', withCn('x'.repeat(65))],
    ['a CN with a slash', withCn('a/CN=b')],
    ['a CN with NUL', withCn('a\0b')],
    ['a CN with a line end', withCn('a\nb')],
    ['a CN with half a character', withCn('a\ud800')],
    ['an O with a slash', parseSlashDn('/O=a\\/b/CN=c')],
    ['no CN at the end', parseSlashDn('/CN=a/OU=b')],
    ['no CN', parseSlashDn('/O=a')],
    ['no name', []],
    ['a CN that does not stand alone', parseSlashDn('/O=a/CN=b+OU=c')],
    ['an RDN of two attributes', parseSlashDn('/O=a+OU=b/CN=c')],
    ['a value of DER', parseSlashDn('/O=#0500/CN=c')],
    ['the name of the CA', authorityName],
    ['a name under that of the CA', [...authorityName, [{ type: '2.5.4.3', value: 'a' }]]],
  ])('%s is refused', async ([, subject]) => {
    await expect(issueEndEntity(authority, { ...request, subject })).rejects.toThrow(
      refusal('bad_name'),
    )
  })

  test.for([
    ['x'.repeat(64)],
    ['proxy@iam'],
    ['not proxy'],
    ['12345@iam'],
    ["Jane O'Neill, (x) a:b=c"],
    ['Zoë'],
  ] as const)('CN=%s is issued', async ([cn]) => {
    const read = readCertificate(
      await issueEndEntity(authority, { ...request, subject: withCn(cn) }),
    )
    expect(read.subject).toEqual(withCn(cn))
  })

  test.for(['https://a.example/ b', 'https://ä.example', 'a\0b', 'a\nb', '\u0141', ''])(
    'URI %j is refused',
    async (uri) => {
      const bad = refusal('bad_name')
      await expect(issueEndEntity(authority, { ...request, subjectUri: uri })).rejects.toThrow(bad)
      const profile = { crlUrl: uri, policyOids: [] }
      await expect(issueEndEntity(authority, { ...request, profile })).rejects.toThrow(bad)
    },
  )
})

describe('lifetimes and numbers', () => {
  const years = 7300 * 86_400
  test.for([
    ['the whole life of the CA', -300, years, undefined],
    ['a second longer than the CA', -300, years + 1, 'bad_lifetime'],
    ['begun a second before the CA', -301, 60, 'bad_lifetime'],
    ['ended before it begins', 60, 0, 'bad_lifetime'],
  ] as const)('%s', async ([, begins, ends, code]) => {
    const issued = issueEndEntity(authority, { ...request, validity: validFor(begins, ends) })
    if (code === undefined) await expect(issued).resolves.toBeInstanceOf(Buffer)
    else await expect(issued).rejects.toThrow(refusal(code))
  })

  test('times that are none', async () => {
    const validity = { ...request.validity, notAfter: new Date(Number.NaN) }
    await expect(issueEndEntity(authority, { ...request, validity })).rejects.toThrow(
      refusal('bad_lifetime'),
    )
  })

  test('serial number 0', async () => {
    await expect(issueEndEntity(authority, { ...request, serial: Buffer.of(0) })).rejects.toThrow(
      refusal('bad_request'),
    )
  })
})

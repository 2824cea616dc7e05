import { beforeAll, describe, expect, test } from 'vitest'
import { encode, preEncoded, sequence, smallInteger } from '../../../ca/asn1.ts'
import { readCertificate } from '../../../ca/certificate.ts'
import type { CaError } from '../../../ca/errors.ts'
import { formatSlashDn } from '../../../ca/name-text.ts'
import {
  type AttributeAuthority,
  type AttributeRequest,
  attributesExtension,
  issueAttributeCertificate,
  MAX_FQANS,
  MAX_TARGETS,
} from '../../../ca/voms/attribute-certificate.ts'
import { parseFqan } from '../../../ca/voms/fqan.ts'
import {
  attributeCertificatesOf,
  readAttributeCertificate,
} from '../../../ca/voms/read-attributes.ts'
import { type IssuedCredential, makeCredential } from '../../support/authority.ts'
import { NOW } from '../../support/certificate-builder.ts'
import { openssl } from '../../support/openssl.ts'
import { makeAttributeAuthority, VOMS_HOST } from '../../support/voms.ts'

let credential: IssuedCredential
let authority: AttributeAuthority
let request: AttributeRequest
beforeAll(async () => {
  credential = await makeCredential()
  authority = await makeAttributeAuthority(credential.authority, NOW)
  request = {
    holder: credential.endEntity,
    server: { vo: 'cms', host: VOMS_HOST, port: 15_000 },
    fqans: ['/cms/Role=production', '/cms'].map(parseFqan),
    validity: { notBefore: NOW, notAfter: new Date(NOW.getTime() + 3_600_000) },
    serial: Buffer.from('7fffffffffffffffffffffffffffffff', 'hex'),
  }
})

describe('an attribute certificate', () => {
  test('says what it was made from', async () => {
    const der = await issueAttributeCertificate(authority, request)
    const read = readAttributeCertificate(der)
    expect(read).toMatchObject({
      serial: '7fffffffffffffffffffffffffffffff',
      holder: { name: credential.endEntity.subject, serial: credential.endEntity.serial },
      issuer: authority.certificate.subject,
      validity: request.validity,
      vo: 'cms',
      uri: `${VOMS_HOST}:15000`,
      fqans: ['/cms/Role=production/Capability=NULL', '/cms/Role=NULL/Capability=NULL'],
    })
    expect(read.der).toEqual(der)
    expect(read.extensions.map(({ oid, critical }) => [oid, critical])).toEqual([
      ['1.3.6.1.4.1.8005.100.100.10', false],
      ['2.5.29.56', false],
      ['2.5.29.35', false],
    ])
  })

  test('has targets in a critical extension', async () => {
    const targets = ['se.example.org', 'https://ce.example.org/x']
    const der = await issueAttributeCertificate(authority, { ...request, targets })
    const { extensions } = readAttributeCertificate(der)
    expect(extensions.at(-1)).toMatchObject({ oid: '2.5.29.55', critical: true })
    const { text } = await openssl(['asn1parse', '-inform', 'DER', '-in', 'c'], {
      c: extensions.at(-1)?.value ?? Buffer.alloc(0),
    })
    expect(text.match(/prim: cont \[ 6 \]/g)).toHaveLength(2)
    for (const target of targets) expect(der.includes(target)).toBe(true)
  })

  test('is signed by the key of the authority', async () => {
    const der = await issueAttributeCertificate(authority, request)
    const { text } = await openssl(['asn1parse', '-inform', 'DER', '-in', 'c'], { c: der })
    // The two parts of the outer SEQUENCE: what is signed, and the signature.
    const header = /^ +4:d=1 +hl=(\d) l= *(\d+) cons: SEQUENCE/m.exec(text)
    const length = Number(header?.[1]) + Number(header?.[2])
    const key = authority.signer.publicKey.key.export({ type: 'spki', format: 'pem' })
    const verify = ['dgst', '-sha256', '-verify', 'k', '-signature', 's', 'd']
    const { text: verdict } = await openssl(verify, {
      k: Buffer.from(key),
      s: der.subarray(-256),
      d: der.subarray(4, 4 + length),
    })
    expect(verdict.trim()).toBe('Verified OK')
  })

  test.for<readonly [string, (good: AttributeRequest) => Partial<AttributeRequest>, object]>([
    ['no FQAN', () => ({ fqans: [] }), { field: 'fqans', reason: 'missing' }],
    [
      'an FQAN of another VO',
      () => ({ fqans: ['/cms', '/atlas'].map(parseFqan) }),
      { field: 'fqans', reason: 'mismatch' },
    ],
    [
      'an FQAN of a VO with a longer name',
      () => ({ fqans: [parseFqan('/cmsx')] }),
      { field: 'fqans', reason: 'mismatch' },
    ],
    [
      'too many FQANs',
      () => ({ fqans: Array.from({ length: MAX_FQANS + 1 }, (_, i) => parseFqan(`/cms/g${i}`)) }),
      { field: 'fqans', reason: 'too_many' },
    ],
    [
      'a hostile VO name',
      ({ server }) => ({ server: { ...server, vo: '../cms' } }),
      { field: 'server.vo', reason: 'bad_value' },
    ],
    [
      'a hostile host name',
      ({ server }) => ({ server: { ...server, host: 'voms/../x' } }),
      { field: 'server.host', reason: 'bad_value' },
    ],
    [
      'too many targets',
      () => ({ targets: Array.from({ length: MAX_TARGETS + 1 }, () => 'x') }),
      { field: 'targets', reason: 'too_many' },
    ],
    [
      'a target with a space',
      () => ({ targets: ['a b'] }),
      { field: 'targets', reason: 'bad_value' },
    ],
    [
      'a serial of zero',
      () => ({ serial: Buffer.of(0) }),
      { field: 'serial', reason: 'too_small' },
    ],
    [
      'an end after that of the EEC',
      ({ holder, validity }) => ({
        validity: { ...validity, notAfter: new Date(holder.validity.notAfter.getTime() + 1000) },
      }),
      { field: 'validity', reason: 'not_nested' },
    ],
    [
      'an end after that of the authority',
      ({ holder }) => ({
        holder: {
          ...holder,
          validity: { ...holder.validity, notAfter: new Date('2035-01-01T00:00:00Z') },
        },
        validity: { notBefore: NOW, notAfter: new Date('2034-01-01T00:00:00Z') },
      }),
      { field: 'validity', reason: 'not_nested' },
    ],
  ])('is not made with %s', async ([, change, details]) => {
    const bad = { ...request, ...change(request) }
    await expect(issueAttributeCertificate(authority, bad)).rejects.toMatchObject({ details })
  })

  test('is not returned when its signature does not verify', async () => {
    const sign = async (data: Buffer): Promise<Buffer> => {
      const signature = await authority.signer.sign(data)
      signature[9] = (signature[9] ?? 0) ^ 1
      return signature
    }
    const faulty = { ...authority, signer: { ...authority.signer, sign } }
    await expect(issueAttributeCertificate(faulty, request)).rejects.toMatchObject({
      code: 'self_check_failed',
    })
  })
})

describe('the attributes of a proxy', () => {
  test('are read from it, one certificate for each VO', async () => {
    const atlas = { ...request.server, vo: 'atlas' }
    const ders = [
      await issueAttributeCertificate(authority, request),
      await issueAttributeCertificate(authority, {
        ...request,
        server: atlas,
        fqans: [parseFqan('/atlas')],
      }),
    ]
    const { proxy } = credential
    const extensions = [
      ...proxy.extensions,
      { ...attributesExtension(ders), value: Buffer.from(attributesExtension(ders).value) },
    ]
    expect(attributeCertificatesOf({ ...proxy, extensions }).map(({ vo }) => vo)).toEqual([
      'cms',
      'atlas',
    ])
    expect(attributeCertificatesOf(proxy)).toEqual([])
  })

  test('are in a proxy that names its person, and the authority is a host', async () => {
    const { proxy } = await makeCredential({ voms: { fqans: ['/cms'] } })
    const [read] = attributeCertificatesOf(proxy)
    expect(read?.fqans).toEqual(['/cms/Role=NULL/Capability=NULL'])
    const { der } = authority.certificate
    const { text } = await openssl(['x509', '-inform', 'DER', '-in', 'c', '-noout', '-text'], {
      c: der,
    })
    expect(text).toContain(`DNS:${VOMS_HOST}`)
    expect(text).toContain('TLS Web Server Authentication, TLS Web Client Authentication')
    expect(formatSlashDn(readCertificate(der).subject)).toBe(
      `/C=EU/O=INDIGO/OU=TTS/CN=${VOMS_HOST}`,
    )
  })

  test.for<readonly [string, (der: Buffer) => Buffer]>([
    ['nothing', () => Buffer.alloc(0)],
    ['half of one', (der) => der.subarray(0, der.length / 2)],
    ['a number', () => encode(smallInteger(7))],
    ['a sequence of numbers', () => encode(sequence(smallInteger(7)))],
    ['two in one', (der) => encode(sequence(preEncoded(der), preEncoded(der)))],
  ])('cannot be %s', async ([, change]) => {
    const der = await issueAttributeCertificate(authority, request)
    expect(() => readAttributeCertificate(change(der))).toThrow(
      expect.objectContaining({ code: 'malformed' }) as CaError,
    )
  })
})

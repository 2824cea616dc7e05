import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { encode, octetString, sequence, smallInteger } from '../../ca/asn1.ts'
import type { Authority } from '../../ca/authority.ts'
import { readCertificate } from '../../ca/certificate.ts'
import { issueEndEntity } from '../../ca/end-entity.ts'
import type { CaErrorDetails } from '../../ca/errors.ts'
import {
  type FurtherExtension,
  MAX_FURTHER_EXTENSION_BYTES,
  MAX_FURTHER_EXTENSIONS,
} from '../../ca/further-extensions.ts'
import { type EndEntity, issueProxy } from '../../ca/proxy.ts'
import { asn1Node, dottedOid } from '../support/arbitraries.ts'
import {
  endEntityRequest,
  makeAuthority,
  makeEndEntity,
  now,
  proxyRequest,
} from '../support/issuing.ts'
import { openssl, opensslRefusal } from '../support/openssl.ts'

/** The sequence of attribute certificates of VOMS. */
const vomsOid = '1.3.6.1.4.1.8005.100.100.5'
const value = encode(sequence(smallInteger(7), octetString(Buffer.from('role'))))
const voms: FurtherExtension = { oid: vomsOid, critical: false, value }
const other: FurtherExtension = { oid: '2.999.3', critical: true, value: encode(smallInteger(1)) }

let authority: Authority
let endEntity: EndEntity
beforeAll(async () => {
  authority = await makeAuthority('ec-p256')
  endEntity = await makeEndEntity(authority, 'ec-p256')
})

type Issue = (extensions: readonly FurtherExtension[]) => Promise<Buffer>
const issueEec: Issue = async (extensions) =>
  issueEndEntity(authority, { ...(await endEntityRequest('ec-p256')), extensions })
const issueOne: Issue = async (extensions) =>
  issueProxy(endEntity, { ...(await proxyRequest(endEntity, 'ec-p256')), extensions })
const both: readonly (readonly [string, Issue])[] = [
  ['EEC', issueEec],
  ['proxy', issueOne],
]

describe.each(both)('further extensions: %s', (_name, issue) => {
  test('follow those of the profile, and openssl shows them', async () => {
    const profile = readCertificate(await issue([])).extensions
    const der = await issue([voms, other])
    const { extensions } = readCertificate(der)
    expect(extensions.slice(0, -2)).toEqual(profile)
    expect(extensions.slice(-2)).toEqual([voms, other])
    const { text } = await openssl(['x509', '-inform', 'DER', '-in', 'c', '-noout', '-text'], {
      c: der,
    })
    expect(text).toContain(`${vomsOid}: \n                0...`)
    expect(text).toContain('2.999.3: critical\n                ...')
    const parsed = await openssl(['asn1parse', '-inform', 'DER', '-in', 'c'], { c: der })
    expect(parsed.text).toContain(`[HEX DUMP]:${value.toString('hex').toUpperCase()}`)
  })

  test('none are added to the next certificate', async () => {
    await issue([voms])
    const { extensions } = readCertificate(await issue([]))
    expect(extensions.map(({ oid }) => oid)).not.toContain(vomsOid)
  })

  test('up to the limits', async () => {
    const most = Array.from({ length: MAX_FURTHER_EXTENSIONS }, (_, index) => ({
      oid: `2.999.${index}`,
      critical: false,
      value: encode(octetString(Buffer.alloc(MAX_FURTHER_EXTENSION_BYTES / 16 - 4))),
    }))
    expect(readCertificate(await issue(most)).extensions.slice(-16)).toEqual(most)
  })

  const refused: readonly (readonly [string, readonly FurtherExtension[], CaErrorDetails])[] = [
    ...[
      ['keyUsage', '2.5.29.15'],
      ['basicConstraints', '2.5.29.19'],
      ['subjectAltName', '2.5.29.17'],
      ['nameConstraints', '2.5.29.30'],
      ['all of id-ce', '2.5.29'],
      ['ProxyCertInfo', '1.3.6.1.5.5.7.1.14'],
      ['ProxyCertInfo of the drafts', '1.3.6.1.4.1.3536.1.222'],
      ['nsCertType', '2.16.840.1.113730.1.1'],
    ].map(
      ([name = '', oid = '']) =>
        [
          `${name} is the profile's`,
          [{ ...voms, oid }],
          { field: 'extensions[0].oid', reason: 'not_allowed' },
        ] as const,
    ),
    ...['', '1', '2.5.29.015', '1.2.3.', '55040f', '3.1', '1.40.1', 'keyUsage'].map(
      (oid) =>
        [
          `identifier "${oid}"`,
          [{ ...voms, oid }],
          { field: 'extensions[0].oid', reason: 'bad_encoding' },
        ] as const,
    ),
    [
      'an identifier over 128 octets',
      [{ ...voms, oid: `1.2${`.${'9'.repeat(30)}`.repeat(12)}` }],
      { field: 'extensions[0].oid', reason: 'bad_encoding' },
    ],
    [
      'the same twice',
      [voms, other, { ...voms, critical: true }],
      { field: 'extensions[2].oid', reason: 'duplicate' },
    ],
    ...[
      ['no value', ''],
      ['text for a value', Buffer.from('hello').toString('hex')],
      ['half a value', '3003020101'.slice(0, -2)],
      ['two values', '020101020102'],
      ['a length that is too long', '30810302010 1'.replace(' ', '')],
      ['an indefinite length', '30800000'],
      ['an INTEGER with a zero too many', '02020001'],
    ].map(
      ([name = '', hex = '']) =>
        [
          name,
          [other, { ...voms, value: Buffer.from(hex, 'hex') }],
          { field: 'extensions[1].value', reason: 'bad_encoding' },
        ] as const,
    ),
    [
      '17 of them',
      Array.from({ length: 17 }, (_, index) => ({ ...voms, oid: `2.999.${index}` })),
      { field: 'extensions', reason: 'too_many', limit: 16, actual: 17 },
    ],
    [
      'over 32 KiB together',
      [
        { ...voms, value: encode(octetString(Buffer.alloc(16_384))) },
        { ...other, value: encode(octetString(Buffer.alloc(16_384))) },
      ],
      { field: 'extensions', reason: 'too_large', limit: 32_768, actual: 32_776 },
    ],
  ]
  test.for(refused)('%s is refused', async ([, extensions, details]) => {
    await expect(issue(extensions)).rejects.toMatchObject({
      name: 'CaError',
      code: 'bad_request',
      details,
    })
  })

  test('any good ones come back, any bytes are well-formed or refused', async () => {
    const extension = fc.record({
      oid: dottedOid,
      critical: fc.boolean(),
      value: fc.oneof(asn1Node.map(encode), fc.uint8Array({ maxLength: 64 })),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(extension, { maxLength: 3 }), async (extensions) => {
        const der = await issue(extensions).catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'bad_request' })
        })
        if (der === undefined || extensions.length === 0) return
        const read = readCertificate(der).extensions.slice(-extensions.length)
        expect(read.map(({ value: bytes }) => bytes.toString('hex'))).toEqual(
          extensions.map(({ value: bytes }) => Buffer.from(bytes).toString('hex')),
        )
      }),
      { numRuns: 60 },
    )
  })
})

test('a chain with further extensions that are not critical is valid for openssl', async () => {
  const refusedBy = await opensslRefusal({
    leaf: readCertificate(await issueOne([voms])),
    untrusted: [endEntity.certificate],
    anchors: [authority.certificate],
    now,
  })
  expect(refusedBy).toBeUndefined()
})

test('a certificate whose extension is not the one of the request is not returned', async () => {
  const changing = Buffer.from(value)
  const signer = {
    ...endEntity.signer,
    // The buffer of the request changes after it was encoded.
    sign: (data: Buffer) => {
      changing[changing.length - 1] = 0x21
      return endEntity.signer.sign(data)
    },
  }
  const under = { certificate: endEntity.certificate, signer }
  const request = await proxyRequest(endEntity, 'ec-p256')
  await expect(
    issueProxy(under, { ...request, extensions: [{ ...voms, value: changing }] }),
  ).rejects.toMatchObject({
    code: 'self_check_failed',
    details: { field: 'extensions', reason: 'mismatch' },
  })
})

import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  type Asn1Node,
  bitString,
  encode,
  explicit,
  integer,
  octetString,
  oid,
  sequence,
  smallInteger,
} from '../../ca/asn1.ts'
import { childrenOf, decode } from '../../ca/asn1-read.ts'
import type { Authority } from '../../ca/authority.ts'
import {
  createCrl,
  type CrlEntry,
  type CrlRequest,
  encodeCrlEntries,
  MAX_CRL_BYTES,
  readCrl,
  readCrlOutline,
  revocationReasons,
  signCrlAgain,
} from '../../ca/crl.ts'
import { verifyCrl } from '../../ca/chain-revocation.ts'
import { CaError } from '../../ca/errors.ts'
import { toPem } from '../../ca/pem.ts'
import { asAuthority, buildChain } from '../support/certificate-builder.ts'
import { anyExtension } from '../support/extensions.ts'
import {
  authorityName,
  makeAuthority,
  makeEndEntity,
  makeProxy,
  now,
  validFor,
} from '../support/issuing.ts'
import { colons, openssl, opensslRefusal } from '../support/openssl.ts'

let authority: Authority
beforeAll(async () => {
  authority = await makeAuthority()
})

const { notBefore: thisUpdate, notAfter: nextUpdate } = validFor(-300, 30 * 86_400)
const request: CrlRequest = { number: 7, thisUpdate, nextUpdate, entries: [] }
const revokedAt = validFor(-60, 0).notBefore
const refusal = (code: string): Error => expect.objectContaining({ name: 'CaError', code }) as Error

const certificatePem = ({ certificate }: Authority): string => toPem('CERTIFICATE', certificate.der)

const manyEntries = (count: number): CrlEntry[] =>
  Array.from({ length: count }, (_, index) => ({
    serial: `40${index.toString(16).padStart(30, '0')}`,
    revokedAt,
    reason: 'superseded',
  }))

describe('createCrl', () => {
  test('is read by openssl as it was meant', async () => {
    const entries = Object.keys(revocationReasons).map((reason, index) => ({
      serial: `4${index}ff`,
      revokedAt,
      reason: reason as keyof typeof revocationReasons,
    }))
    const crl = await createCrl(authority, { ...request, entries })
    const { text } = await openssl(['crl', '-inform', 'DER', '-in', 'crl', '-noout', '-text'], {
      crl,
    })
    const keyId = colons(authority.signer.publicKey.keyId)
    const lines = text
      .replaceAll(' = ', '=')
      .split('\n')
      .map((line) => line.trim())
    expect(
      lines.slice(
        0,
        lines.findLastIndex((line) => line.startsWith('Signature Algorithm')),
      ),
    ).toEqual([
      'Certificate Revocation List (CRL):',
      'Version 2 (0x1)',
      'Signature Algorithm: sha256WithRSAEncryption',
      'Issuer: C=EU, O=INDIGO, OU=TTS, CN=TTS-CA',
      'Last Update: Nov 23 11:55:00 2026 GMT',
      'Next Update: Dec 23 12:00:00 2026 GMT',
      'CRL extensions:',
      'X509v3 Authority Key Identifier:',
      keyId,
      'X509v3 CRL Number:',
      '7',
      'Revoked Certificates:',
      ...[
        '',
        'Key Compromise',
        'Affiliation Changed',
        'Superseded',
        'Cessation Of Operation',
        'Privilege Withdrawn',
      ].flatMap((reason, index) => [
        `Serial Number: 4${index}FF`,
        'Revocation Date: Nov 23 11:59:00 2026 GMT',
        ...(reason === '' ? [] : ['CRL entry extensions:', 'X509v3 CRL Reason Code:', reason]),
      ]),
    ])
  })

  test.for(['rsa-3072', 'ec-p256', 'ec-p384'] as const)(
    'of a CA with %s verifies with openssl',
    async (kind) => {
      const issuing = await makeAuthority(kind)
      const files = { crl: await createCrl(issuing, request), ca: certificatePem(issuing) }
      const args = ['crl', '-inform', 'DER', '-in', 'crl', '-noout', '-verify', '-CAfile', 'ca']
      expect((await openssl(args, files)).text).toBe('verify OK\n')
      const other = await makeAuthority(kind === 'ec-p256' ? 'ec-p384' : 'ec-p256')
      expect((await openssl(args, { ...files, ca: certificatePem(other) })).text).not.toContain(
        'verify OK',
      )
    },
  )

  test('an empty list is left out', async () => {
    const [tbs] = childrenOf(decode(await createCrl(authority, request), 'CRL'), 'CRL')
    expect(childrenOf(tbs, 'tbs')).toHaveLength(6)
  })

  test('revokes an EEC and with it its proxies', async () => {
    const endEntity = await makeEndEntity(authority)
    const leaf = await makeProxy(endEntity)
    const { serial } = endEntity.certificate
    const chain = {
      leaf,
      untrusted: [endEntity.certificate],
      anchors: [authority.certificate],
      now,
    }
    const revoked = await createCrl(authority, {
      ...request,
      entries: [{ serial, revokedAt, reason: 'keyCompromise' }],
    })
    expect(
      await opensslRefusal({ ...chain, crls: [await createCrl(authority, request)] }),
    ).toBeUndefined()
    expect(await opensslRefusal({ ...chain, crls: [revoked] })).toMatch(/revoked/)
    expect([...readCrl(revoked).revoked]).toEqual([[serial, revokedAt]])
  })

  test('names a CA by the key identifier that it states', async () => {
    const stated = Buffer.from('0102030405060708', 'hex')
    const extensions = { subjectKeyIdentifier: anyExtension('2.5.29.14', octetString(stated)) }
    const { authority: built } = await buildChain({ authority: { extensions } })
    const crl = await createCrl(asAuthority(built), request)
    const { text } = await openssl(['crl', '-inform', 'DER', '-in', 'crl', '-noout', '-text'], {
      crl,
    })
    expect(text).toContain('01:02:03:04:05:06:07:08')
  })

  test.for<readonly [string, Partial<CrlRequest>, string]>([
    ['a negative number', { number: -1 }, 'bad_request'],
    ['NaN as number', { number: Number.NaN }, 'bad_request'],
    [
      'an end before its begin',
      { nextUpdate: new Date(thisUpdate.getTime() - 1000) },
      'bad_lifetime',
    ],
    ['an end at its begin', { nextUpdate: thisUpdate }, 'bad_lifetime'],
    ['no end', { nextUpdate: new Date(Number.NaN) }, 'bad_lifetime'],
    ['no begin', { thisUpdate: new Date(Number.NaN) }, 'bad_lifetime'],
    [
      'a decimal serial number',
      { entries: [{ serial: '12345', revokedAt, reason: 'superseded' }] },
      'bad_request',
    ],
    [
      'text as serial number',
      { entries: [{ serial: 'zz', revokedAt, reason: 'superseded' }] },
      'bad_request',
    ],
    [
      'an empty serial number',
      { entries: [{ serial: '', revokedAt, reason: 'superseded' }] },
      'bad_request',
    ],
    [
      'a revocation at no time',
      { entries: [{ serial: '01', revokedAt: new Date(Number.NaN), reason: 'superseded' }] },
      'bad_lifetime',
    ],
  ])('%s is refused', async ([, changes, code]) => {
    await expect(createCrl(authority, { ...request, ...changes })).rejects.toThrow(refusal(code))
  })

  test('nothing leaves that does not verify', async () => {
    const signer = { ...authority.signer, sign: () => Promise.resolve(Buffer.alloc(384)) }
    await expect(createCrl({ ...authority, signer }, request)).rejects.toThrow(
      refusal('self_check_failed'),
    )
  })

  test('300,000 entries are written, and read by openssl and by this code', async () => {
    const chain = {
      leaf: (await makeEndEntity(authority)).certificate,
      untrusted: [],
      anchors: [authority.certificate],
      now,
    }
    const entries = manyEntries(300_000)
    const last = { serial: chain.leaf.serial, revokedAt, reason: 'keyCompromise' as const }
    const without = await createCrl(authority, { ...request, entries })
    const crl = await createCrl(authority, {
      ...request,
      entries: entries.slice(0, 10),
      encodedEntries: [
        Buffer.concat(encodeCrlEntries(entries.slice(10))),
        ...encodeCrlEntries([last]),
      ],
    })
    expect(crl.length).toBeLessThan(MAX_CRL_BYTES)
    const read = readCrl(crl)
    expect(read.revoked.size).toBe(300_001)
    expect(read.revoked.get(entries[299_999]?.serial ?? '')).toEqual(revokedAt)
    expect(readCrlOutline(crl).number).toBe(request.number)
    expect(readCrlOutline(crl).tbs.equals(read.tbs)).toBe(true)
    const args = ['crl', '-inform', 'DER', '-in', 'crl', '-noout', '-crlnumber']
    expect(await openssl(args, { crl })).toMatchObject({ ok: true })
    expect(await opensslRefusal({ ...chain, crls: [without] })).toBeUndefined()
    expect(await opensslRefusal({ ...chain, crls: [crl] })).toMatch(/revoked/)
  }, 60_000)

  test('as many of the longest entries as it says fit into what is read', () => {
    const serial = `7f${'ff'.repeat(19)}`
    const [entry] = encodeCrlEntries([{ serial, revokedAt, reason: 'keyCompromise' }])
    expect(600_000 * (entry?.length ?? Infinity)).toBeLessThan(MAX_CRL_BYTES)
  })
})

describe('readCrl', () => {
  test('gives back what was written', async () => {
    const entries = fc.uniqueArray(
      fc.record({
        serial: fc
          .uint8Array({ minLength: 1, maxLength: 20 })
          .map((bytes) =>
            Buffer.from([0x40 | ((bytes[0] ?? 0) & 0x3f), ...bytes.subarray(1)]).toString('hex'),
          ),
        revokedAt: fc.date({
          min: new Date('1990-01-01'),
          max: new Date('2060-01-01'),
          noInvalidDate: true,
        }),
        reason: fc.constantFrom('unspecified', 'keyCompromise', 'superseded'),
      }),
      { selector: ({ serial }) => serial, maxLength: 10 },
    )
    await fc.assert(
      fc.asyncProperty(entries, fc.nat(), async (list, number) => {
        const read = readCrl(
          await createCrl(authority, {
            ...request,
            entries: list,
            number,
          }),
        )
        expect(read).toMatchObject({
          issuer: authorityName,
          thisUpdate,
          nextUpdate,
          number,
          criticalExtensions: [],
        })
        expect([...read.revoked.keys()]).toEqual(list.map(({ serial }) => serial))
        expect([...read.revoked.values()].map((date) => date.getTime())).toEqual(
          list.map((entry) => Math.floor(entry.revokedAt.getTime() / 1000) * 1000),
        )
      }),
      { numRuns: 40 },
    )
  })

  test('any damage gives a CRL or a refusal', async () => {
    const der = await createCrl(authority, {
      ...request,
      entries: [{ serial: '40', revokedAt, reason: 'superseded' }],
    })
    const damage = fc.array(fc.tuple(fc.nat(der.length - 1), fc.nat(255)), {
      minLength: 1,
      maxLength: 4,
    })
    fc.assert(
      fc.property(damage, (changes) => {
        const bytes = Buffer.from(der)
        for (const [index, value] of changes) bytes[index] = value
        try {
          expect(bytes.includes(readCrl(bytes).tbs)).toBe(true)
        } catch (error) {
          expect(error).toBeInstanceOf(CaError)
        }
      }),
      { numRuns: 500 },
    )
  })

  /** A CRL with other extensions than ours. */
  const withExtensions = async (...extensions: Asn1Node[]): Promise<Buffer> => {
    const [tbs, ...rest] = childrenOf(decode(await createCrl(authority, request), 'CRL'), 'CRL')
    const fields = childrenOf(tbs, 'tbs').slice(0, 5)
    return encode(sequence(sequence(...fields, explicit(0, sequence(...extensions))), ...rest))
  }

  test('a number as long as RFC 5280 allows is no error', async () => {
    const long = anyExtension('2.5.29.20', integer(Buffer.alloc(20, 0x11)))
    expect(readCrl(await withExtensions(long)).number).toBeUndefined()
    expect(
      readCrl(await withExtensions(anyExtension('2.5.29.20', smallInteger(2 ** 40)))).number,
    ).toBe(2 ** 40)
  })

  test('critical extensions are told', async () => {
    const delta = anyExtension('2.5.29.27', smallInteger(1), true)
    expect(readCrl(await withExtensions(delta)).criticalExtensions).toEqual(['2.5.29.27'])
  })

  test.for<readonly [string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['an empty sequence', Buffer.of(0x30, 0)],
    [
      'an empty TBSCertList',
      encode(sequence(sequence(), sequence(oid('1.2.3')), bitString(Buffer.of(1)))),
    ],
    ['text', Buffer.from('-----BEGIN X509 CRL-----')],
    ['a length in more octets than it needs', Buffer.of(0x30, 0x81, 0)],
    ['a length without an end', Buffer.of(0x30, 0x80, 0, 0)],
    ['a length over the end', Buffer.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff)],
    ['half a length', Buffer.of(0x30, 0x82, 1)],
    ['something behind it', Buffer.of(0x30, 0, 0)],
  ])('%s is refused', ([, bytes]) => {
    expect(() => readCrl(bytes)).toThrow(refusal('malformed'))
  })

  test.for<readonly [string, string]>([
    ['no date', '3003020140'],
    ['a serial number with a leading zero', '30120202004017 0d3236313132333131353930305a'],
    ['a negative serial number in too many octets', '30130202ff80170d3236313132333131353930305a'],
    ['a serial number that is no INTEGER', '3012040140170d3236313132333131353930305a'],
    ['30 February', '3012020140170d3236303233303131353930305a'],
    ['text for extensions', '3014020140170d3236313132333131353930305a0c00'],
    ['a fourth field', '3016020140170d3236313132333131353930305a30000500'],
    ['a length over its end', '3013020140170d3236313132333131353930305a'],
  ])('an entry with %s is refused', async ([, hex]) => {
    const entry = Buffer.from(hex.replace(' ', ''), 'hex')
    const sound = Buffer.from('3012020140170d3236313132333131353930305a', 'hex')
    const made = async (bytes: Buffer): Promise<Buffer> =>
      createCrl(authority, { ...request, encodedEntries: [bytes] })
    expect(readCrl(await made(sound)).revoked.size).toBe(1)
    const crl = await made(entry)
    expect(() => readCrl(crl)).toThrow(refusal('malformed'))
  })

  test('too much is refused', () => {
    expect(() => readCrl(Buffer.alloc(MAX_CRL_BYTES + 1))).toThrow(refusal('too_large'))
  })
})

describe('signCrlAgain', () => {
  test.for([0, 1, 3, 5000])(
    '%i entries: the same list under the key of another CA',
    async (count) => {
      const other = await makeAuthority('ec-p256')
      const entries = manyEntries(count)
      const first = await createCrl(authority, { ...request, entries })
      const second = await signCrlAgain(other, first)
      const [ours, theirs] = [readCrl(first), readCrl(second)]
      expect(theirs).toMatchObject({
        number: 7,
        thisUpdate,
        nextUpdate,
        revoked: ours.revoked,
        criticalExtensions: [],
      })
      expect(verifyCrl(theirs, other.certificate)).toBe(true)
      expect(verifyCrl(theirs, authority.certificate)).toBe(false)
      // The entries are the same octets.
      const encoded = Buffer.concat(encodeCrlEntries(entries))
      expect(second.includes(encoded)).toBe(true)
      const files = { 'crl.der': second, 'ca.pem': certificatePem(other) }
      const words = ['crl', '-inform', 'DER', '-in', 'crl.der', '-CAfile', 'ca.pem', '-noout']
      expect((await openssl(words, files)).text).toContain('verify OK')
    },
  )

  test('a list without a number is refused', async () => {
    const crl = await createCrl(authority, request)
    // The OID of cRLNumber, 2.5.29.20, becomes one that nobody knows.
    const unnumbered = Buffer.from(crl)
    const at = unnumbered.indexOf(Buffer.from('0603551d14', 'hex'))
    unnumbered[at + 4] = 0x63
    await expect(signCrlAgain(authority, unnumbered)).rejects.toEqual(refusal('bad_request'))
  })
})

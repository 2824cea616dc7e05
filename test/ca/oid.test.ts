import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encode, oid } from '../../ca/asn1.ts'
import { CaError } from '../../ca/errors.ts'
import { oidBytes, oidDotted } from '../../ca/oid.ts'
import { dottedOid } from '../support/arbitraries.ts'
import { openssl } from '../support/openssl.ts'

const malformed = expect.objectContaining({ name: 'CaError', code: 'malformed' }) as Error

describe('object identifiers', () => {
  test.for([
    ['0.0', '00'],
    ['0.39', '27'],
    ['1.0', '28'],
    ['1.39', '4f'],
    ['2.0', '50'],
    ['2.39', '77'],
    ['2.40', '78'],
    ['2.47', '7f'],
    ['2.48', '8100'],
    ['2.999.3', '883703'],
    ['2.5.4.3', '550403'],
    ['1.3.6.1.5.5.7.1.14', '2b0601050507010e'],
    ['1.3.6.1.4.1.3536.1.1.1.9', '2b060104019b5001010109'],
    // 14 + 2^32: cut to 32 bits it were ProxyCertInfo.
    ['1.3.6.1.5.5.7.1.4294967310', '2b060105050701908080800e'],
    ['2.25.340282366920938463463374607431768211455', '6983' + 'ff'.repeat(17) + '7f'],
  ] as const)('%s is %s', ([dotted, hex]) => {
    expect(oidBytes(dotted).toString('hex')).toBe(hex)
    expect(oidDotted(Buffer.from(hex, 'hex'))).toBe(dotted)
  })

  test.for([
    ['2.999.3', '2.999.3'],
    ['1.3.6.1.5.5.7.1.4294967310', '1.3.6.1.5.5.7.1.4294967310'],
    ['2.48.128', '2.48.128'],
    ['0.9.2342.19200300.100.1.25', 'domainComponent'],
    ['1.3.6.1.5.5.7.1.14', 'Proxy Certificate Information'],
  ] as const)('%s is read by openssl as %s', async ([dotted, name]) => {
    const der = encode(oid(dotted))
    const { text } = await openssl(['asn1parse', '-inform', 'DER', '-in', 'oid'], { oid: der })
    expect(text.trim()).toMatch(new RegExp(`:${name}$`))
  })

  test('come back from their bytes', () => {
    fc.assert(
      fc.property(dottedOid, (dotted) => {
        expect(oidDotted(oidBytes(dotted))).toBe(dotted)
      }),
    )
  })

  test('no two byte strings have one dotted form', () => {
    // If each text leads back to the bytes it was read from, no text has two of them.
    const octet = fc.oneof(
      fc.constantFrom(0x00, 0x01, 0x27, 0x28, 0x4f, 0x50, 0x7f, 0x80, 0x81, 0xff),
      fc.nat(255),
    )
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 20 }),
        fc.array(octet, { maxLength: 17 }),
        (one, two) => {
          for (const bytes of [Buffer.from(one), Buffer.from(two)]) {
            const dotted = dottedOrRefused(bytes)
            if (dotted !== undefined) expect(oidBytes(dotted)).toEqual(bytes)
          }
        },
      ),
      { numRuns: 1000 },
    )
  })

  test.for(['', '80', '8001', '2a80', '2a8001', '2aff', '2a048001'])(
    'bytes "%s" are refused',
    (hex) => {
      expect(() => oidDotted(Buffer.from(hex, 'hex'))).toThrow(malformed)
    },
  )

  test('an endless arc is refused before it is computed', () => {
    // To compute this one would take hours.
    expect(() => oidDotted(Buffer.alloc(8_000_000, 0xff))).toThrow(malformed)
  })

  test.for([
    '',
    '1',
    '3.1',
    '1.40',
    '0.40',
    '1.02',
    '1.2.',
    '.1.2',
    '1..2',
    '1.-2',
    ' 1.2',
    '1.2\n',
    '1.2e3',
    '1.0x2',
    `1.2${'.3'.repeat(40)}`,
    `2.${'9'.repeat(40)}`,
    // 135 octets.
    `1.2${`.${1n << 100n}`.repeat(9)}`,
  ])('text "%s" is refused', (dotted) => {
    expect(() => oidBytes(dotted)).toThrow(malformed)
  })
})

function dottedOrRefused(bytes: Buffer): string | undefined {
  try {
    return oidDotted(bytes)
  } catch (error) {
    if (error instanceof CaError && error.code === 'malformed') return undefined
    throw error
  }
}

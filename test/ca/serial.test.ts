import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encode, integer } from '../../ca/asn1.ts'
import {
  checkSerial,
  END_ENTITY_SERIAL_BYTES,
  PROXY_SERIAL_BYTES,
  serialDecimal,
  serialFrom,
} from '../../ca/serial.ts'

describe('serial numbers', () => {
  test.for([
    ['zeros', 0x00, 0x40],
    ['ones', 0xff, 0x7f],
    ['the sign bit', 0x80, 0x40],
  ] as const)('made of %s are positive and of full length', ([, fill, first]) => {
    const serial = serialFrom((size) => Buffer.alloc(size, fill), 16)
    expect(serial).toHaveLength(16)
    expect(serial[0]).toBe(first)
    expect(encode(integer(serial))).toHaveLength(18)
  })

  test('made of any bytes keep all but two bits', () => {
    const bytes = fc.uint8Array({
      minLength: END_ENTITY_SERIAL_BYTES,
      maxLength: END_ENTITY_SERIAL_BYTES,
    })
    fc.assert(
      fc.property(bytes, (random) => {
        const serial = serialFrom(() => Buffer.from(random), random.length)
        expect(serial.subarray(1)).toEqual(Buffer.from(random.subarray(1)))
        expect((serial[0] ?? 0) >> 6).toBe(1)
        expect((serial[0] ?? 0) & 0x3f).toBe((random[0] ?? 0) & 0x3f)
        expect(() => {
          checkSerial(serial)
        }).not.toThrow()
      }),
    )
  })

  test('have at least 64 random bits and at most 20 octets', () => {
    for (const length of [END_ENTITY_SERIAL_BYTES, PROXY_SERIAL_BYTES]) {
      expect(length * 8 - 2).toBeGreaterThanOrEqual(64)
      expect(length).toBeLessThanOrEqual(20)
    }
  })

  test.for([
    ['01', '1'],
    ['00', '0'],
    ['7fffffffffffffffff', '2361183241434822606847'],
    ['ff', '255'],
  ] as const)('%s is %s as a CN', ([hex, decimal]) => {
    expect(serialDecimal(Buffer.from(hex, 'hex'))).toBe(decimal)
  })

  test.for(['01', 'ff', `7f${'ff'.repeat(19)}`, `80${'00'.repeat(18)}`])('%s may be', (hex) => {
    expect(() => {
      checkSerial(Buffer.from(hex, 'hex'))
    }).not.toThrow()
  })

  test.for(['', '00', '0000', `80${'00'.repeat(19)}`, '01'.repeat(21)])('%s may not be', (hex) => {
    expect(() => {
      checkSerial(Buffer.from(hex, 'hex'))
    }).toThrow(expect.objectContaining({ name: 'CaError', code: 'bad_request' }))
  })
})

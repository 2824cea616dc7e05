import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CaError } from '../../../ca/errors.ts'
import {
  wireMpint,
  wireNameList,
  wireReader,
  wireString,
  wireUint32,
  wireUint64,
} from '../../../ca/ssh/wire.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const bytes = fc.uint8Array({ maxLength: 80 }).map((array) => Buffer.from(array))

describe('the examples of RFC 4251 section 5', () => {
  test.for([
    ['00', '00 00 00 00'],
    ['09 a3 78 f9 b2 e3 32 a7', '00 00 00 08 09 a3 78 f9 b2 e3 32 a7'],
    ['80', '00 00 00 02 00 80'],
  ] as const)('mpint %s', ([magnitude, wire]) => {
    expect(wireMpint(hex(magnitude))).toEqual(hex(wire))
  })
  test('string and uint32', () => {
    expect(wireString('testing')).toEqual(hex('00 00 00 07 74 65 73 74 69 6e 67'))
    expect(wireUint32(699921578)).toEqual(hex('29 b7 f4 aa'))
  })
  test.for([
    [[], '00 00 00 00'],
    [['zlib'], '00 00 00 04 7a 6c 69 62'],
    [['zlib', 'none'], '00 00 00 09 7a 6c 69 62 2c 6e 6f 6e 65'],
  ] as const)('name-list %s', ([names, wire]) => {
    expect(wireNameList(names)).toEqual(hex(wire))
  })
})

test('what is written is read back', () => {
  fc.assert(
    fc.property(
      fc.tuple(bytes, fc.nat(0xffffffff), fc.bigInt(0n, (1n << 64n) - 1n), bytes, bytes),
      ([string, small, large, magnitude, rest]) => {
        const names = ['a', 'ssh-ed25519', '~!+-']
        const reader = wireReader(
          Buffer.concat([
            wireString(string),
            wireUint32(small),
            wireUint64(large),
            wireMpint(magnitude),
            wireNameList(names),
            rest,
          ]),
          'test',
        )
        expect(reader.string(80)).toEqual(string)
        expect(reader.uint32()).toBe(small)
        expect(reader.uint64()).toBe(large)
        const read = reader.mpint(80)
        expect(read[0]).not.toBe(0)
        expect(BigInt(`0x0${read.toString('hex')}`)).toBe(BigInt(`0x0${magnitude.toString('hex')}`))
        expect(reader.names(80)).toEqual(names)
        expect(reader.left).toBe(rest.length)
        if (rest.length === 0) reader.end()
        else expect(() => reader.end()).toThrow(CaError)
      },
    ),
  )
})

test('any bytes give a value or a CaError', () => {
  const step = fc.constantFrom('uint8', 'uint32', 'uint64', 'string', 'text', 'mpint', 'names')
  fc.assert(
    fc.property(bytes, fc.array(step, { maxLength: 6 }), (input, steps) => {
      const reader = wireReader(input, 'test')
      try {
        for (const name of steps) reader[name as 'string'](40)
        reader.end()
      } catch (error) {
        if (!(error instanceof CaError)) throw error
        expect(error.code).toBe('malformed')
      }
    }),
    { numRuns: 1000 },
  )
})

describe('refused when read', () => {
  test.for([
    ['nothing at all', '', 'string', 'it is truncated'],
    ['a length of three octets', '00 00 00', 'string', 'it is truncated'],
    ['a length beyond the end', '00 00 00 05 01', 'string', 'it is truncated'],
    ['a length of 4 GiB', 'ff ff ff ff', 'string', 'has 4294967295 bytes; at most 10 are accepted'],
    ['a string over the bound', `00 00 00 0b ${'01'.repeat(11)}`, 'string', 'has 11 bytes'],
    ['NUL in a text', '00 00 00 02 61 00', 'text', 'not printable US-ASCII'],
    ['UTF-8 in a text', '00 00 00 02 c3 a9', 'text', 'not printable US-ASCII'],
    ['a negative number', '00 00 00 01 80', 'mpint', 'negative'],
    ['a leading zero', '00 00 00 02 00 7f', 'mpint', 'leading zeros'],
    ['zero as an octet', '00 00 00 01 00', 'mpint', 'leading zeros'],
    ['two leading zeros', '00 00 00 03 00 00 80', 'mpint', 'leading zeros'],
    ['an empty name', '00 00 00 03 61 2c 2c', 'names', 'a name in a name-list'],
    ['a name with a blank', '00 00 00 03 61 20 62', 'names', 'a name in a name-list'],
  ] as const)('%s', ([, wire, method, why]) => {
    expect(() => wireReader(hex(wire), 'it')[method](10)).toThrow(
      expect.objectContaining({
        code: 'malformed',
        message: expect.stringContaining(why) as string,
      }),
    )
  })
})

test('refused when written', () => {
  for (const value of [-1, 0.5, 2 ** 32, NaN]) expect(() => wireUint32(value)).toThrow(CaError)
  for (const value of [-1n, 1n << 64n]) expect(() => wireUint64(value)).toThrow(CaError)
  for (const name of ['', 'a,b', 'a b', 'é', 'x'.repeat(65)])
    expect(() => wireNameList(['a', name])).toThrow(CaError)
})

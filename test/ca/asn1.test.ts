import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Asn1Node,
  bitString,
  booleanTrue,
  characterString,
  encode,
  enumerated,
  integer,
  namedBits,
  octetString,
  oid,
  sequence,
  set,
  smallInteger,
  Tag,
} from '../../ca/asn1.ts'
import {
  bitStringBytes,
  childrenOf,
  contentOf,
  decode,
  isTrue,
  namedBitsOf,
  oidOf,
  smallIntegerOf,
} from '../../ca/asn1-read.ts'
import { CaError } from '../../ca/errors.ts'
import { asn1Node } from '../support/arbitraries.ts'

/** A node without what the parser remembers beside it. */
const bare = ({ tagClass, type, constructed, value }: Asn1Node): unknown => ({
  tagClass,
  type,
  constructed,
  value: typeof value === 'string' ? value : value.map(bare),
})

const hex = (node: Asn1Node): string => encode(node).toString('hex')
const fromHex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

/** Decodes; answers undefined for the one error that may come, passes every other one on. */
function decodeOrRefuse(bytes: Uint8Array): Asn1Node | undefined {
  try {
    return decode(bytes, 'bytes')
  } catch (error) {
    if (error instanceof CaError && error.code === 'malformed') return undefined
    throw error
  }
}

function nested(levels: number, core: Buffer = Buffer.alloc(0)): Buffer {
  let inner: Buffer = core
  for (let level = 0; level < levels; level += 1) {
    const { length } = inner
    const head =
      length < 0x80
        ? [length]
        : length < 0x100
          ? [0x81, length]
          : [0x82, length >> 8, length & 0xff]
    inner = Buffer.concat([Buffer.from([0x30, ...head]), inner])
  }
  return inner
}

describe('decode', () => {
  test.for(['820200ff', '82020001', '8202ff80', '8202ffff', '8a020001', '1e0400410100'])(
    'takes the octets of %s as they are: only an INTEGER may not begin with a needless one',
    (octets) => {
      expect(hex(decode(fromHex(octets), 'node'))).toBe(octets)
    },
  )

  test('gives back what encode wrote', () => {
    fc.assert(
      fc.property(asn1Node, (node) => {
        expect(bare(decode(encode(node), 'node'))).toEqual(bare(node))
      }),
      { numRuns: 1000 },
    )
  })

  test('makes of any bytes a node of exactly these bytes, or refuses', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const node = decodeOrRefuse(bytes)
        if (node) expect(encode(node)).toEqual(Buffer.from(bytes))
      }),
      { numRuns: 1000 },
    )
  })

  test('makes of damaged DER a node of exactly these bytes, or refuses', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(asn1Node, damage, (node, changes) => {
        const bytes = encode(node)
        for (const [index, value] of changes) bytes[index % bytes.length] = value
        const read = decodeOrRefuse(bytes)
        if (read) expect(encode(read)).toEqual(bytes)
      }),
      { numRuns: 500 },
    )
  })

  test.for([
    ['nothing', ''],
    ['a tag alone', '30'],
    ['a length over what is there', '30 05 02 01 01'],
    ['a length of 2^32 - 1', '30 84 ff ff ff ff'],
    ['a length of 2^32 + 3', '30 85 01 00 00 00 03 02 01 01'],
    ['a length of 127 octets', `30 ff ${'ff'.repeat(127)}`],
    ['an indefinite length', '30 80 02 01 01 00 00'],
    ['an indefinite length without end', '30 80 02 01 01'],
    ['an indefinite length of a primitive', '04 80 01 00 00'],
    ['a length in long form below 128', '30 81 03 02 01 01'],
    ['a length with a leading zero', '30 82 00 03 02 01 01'],
    ['an INTEGER with a needless zero', '02 02 00 01'],
    ['an INTEGER with needless ones', '02 02 ff 80'],
    ['an ENUMERATED with a needless zero', '0a 02 00 01'],
    ['a trailing byte', '02 01 01 00'],
    ['two values', '02 01 01 02 01 01'],
    ['a child that is longer than its parent', '30 03 02 05 01'],
    ['a child cut to its tag', '30 01 02'],
  ])('refuses %s', ([, bytes = '']) => {
    expect(() => decode(fromHex(bytes), 'bytes')).toThrow(
      expect.objectContaining({ name: 'CaError', code: 'malformed' }),
    )
  })

  test('reads 31 levels and no more', () => {
    const core = encode(smallInteger(1))
    expect(encode(decode(nested(31, core), 'nested'))).toEqual(nested(31, core))
    expect(() => decode(nested(32, core), 'nested')).toThrow(/must be one complete DER value/)
  })

  test.for([
    ['sequences', nested(15_000)],
    ['sequences of indefinite length', Buffer.alloc(64 * 1024, Buffer.from([0x30, 0x80]))],
    ['context tags', Buffer.alloc(64 * 1024, Buffer.from([0xa0, 0x80]))],
    [
      'BIT STRINGs',
      Buffer.concat([Buffer.from([3, 0x82, 0xea, 0x61, 0]), nested(14_000).subarray(0, 60_000)]),
    ],
  ] as const)('survives a bomb of nested %s', ([, bomb]) => {
    decodeOrRefuse(bomb)
  })

  test('refuses by size before anything is parsed', () => {
    const valid = encode(octetString(Buffer.alloc(1024 * 1024)))
    const tooLarge = expect.objectContaining({ code: 'too_large' }) as Error
    expect(() => decode(valid, 'big')).toThrow(tooLarge)
    expect(() => decode(Buffer.alloc(65), 'big', 64)).toThrow(tooLarge)
    expect(decode(valid, 'big', valid.length).type).toBe(Tag.octetString)
  })
})

describe('numbers', () => {
  test.for([
    [0, '020100'],
    [127, '02017f'],
    [128, '02020080'],
    [256, '02020100'],
    [2 ** 32, '02050100000000'],
  ] as const)('%d is written as %s', ([value, der]) => {
    expect(hex(smallInteger(value))).toBe(der)
    expect(smallIntegerOf(decode(fromHex(der), 'n'), 'n')).toBe(value)
  })

  test.for([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])(
    '%d is not written',
    (value) => {
      expect(() => smallInteger(value)).toThrow(expect.objectContaining({ code: 'bad_request' }))
    },
  )

  test.for(['0200', '0201ff', '020780000000000000', '020700ffffffffffff', '3000'])(
    '%s is not read as a small number',
    (der) => {
      expect(() => smallIntegerOf(decode(fromHex(der), 'n'), 'n')).toThrow(
        expect.objectContaining({ code: 'malformed' }),
      )
    },
  )

  test('any bytes as an INTEGER are the same positive number', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 30 }), (bytes) => {
        const content = contentOf(integer(bytes), 'n', Tag.integer)
        expect(BigInt(`0x${content.toString('hex')}`)).toBe(
          BigInt(`0x${Buffer.from(bytes).toString('hex')}`),
        )
        expect((content[0] ?? 0xff) & 0x80).toBe(0)
      }),
    )
    expect(hex(integer(Buffer.alloc(0)))).toBe('020100')
    expect(hex(enumerated(9))).toBe('0a0109')
  })
})

describe('bits', () => {
  test.for([
    [[], '030100'],
    [[0], '03020780'],
    [[0, 2], '030205a0'],
    [[5, 6], '03020106'],
    [[7], '03020001'],
    [[8], '0303070080'],
  ] as const)('named bits %j are %s', ([bits, der]) => {
    expect(hex(namedBits(bits))).toBe(der)
    expect(namedBitsOf(decode(fromHex(der), 'bits'), 'bits')).toEqual(bits)
  })

  test('named bits come back, the last one set', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(40)), (bits) => {
        const sorted = bits.toSorted((left, right) => left - right)
        expect(namedBitsOf(namedBits(bits), 'bits')).toEqual(sorted)
        const last = contentOf(namedBits(bits), 'bits').at(-1) ?? 0
        const unused = contentOf(namedBits(bits), 'bits')[0] ?? 0
        if (bits.length > 0) expect((last >> unused) & 1).toBe(1)
      }),
    )
  })

  test.for(['0300', '030101', '03020880', '0302ff80', '020101'])('%s has no named bits', (der) => {
    expect(() => namedBitsOf(decode(fromHex(der), 'bits'), 'bits')).toThrow(
      expect.objectContaining({ code: 'malformed' }),
    )
  })

  test('keys and signatures are whole bytes', () => {
    expect(bitStringBytes(bitString(Buffer.of(1, 2)), 'key')).toEqual(Buffer.of(1, 2))
    for (const node of [
      bitString(Buffer.of(2), 1),
      characterString(Tag.bitString, Buffer.alloc(0)),
    ])
      expect(() => bitStringBytes(node, 'key')).toThrow(/not a whole number of bytes/)
  })
})

describe('structures', () => {
  test('a SET is in DER order, whatever order it was given', () => {
    const nodes = [smallInteger(300), octetString(Buffer.of(1)), smallInteger(1), booleanTrue()]
    expect(hex(set(...nodes))).toBe('310d0101ff0201010202012c040101')
    expect(hex(set(...nodes.toReversed()))).toBe(hex(set(...nodes)))
  })

  test('undefined parts are left out', () => {
    expect(hex(sequence(undefined, smallInteger(1), undefined))).toBe('3003020101')
  })

  test('readers refuse what is of another form', () => {
    const malformed = expect.objectContaining({ code: 'malformed' }) as Error
    expect(() => childrenOf(smallInteger(1), 'it')).toThrow(malformed)
    expect(() => childrenOf(set(), 'it', Tag.sequence)).toThrow(malformed)
    expect(() => childrenOf(undefined, 'it')).toThrow(malformed)
    expect(() => contentOf(sequence(), 'it')).toThrow(malformed)
    expect(() => contentOf(smallInteger(1), 'it', Tag.oid)).toThrow(malformed)
    expect(() => contentOf(undefined, 'it')).toThrow(malformed)
    expect(oidOf(oid('2.5.29.15'), 'it')).toBe('2.5.29.15')
    // The same octets under another tag, and in a part of a constructed value.
    const octets = contentOf(oid('2.5.29.15'), 'it')
    expect(() => oidOf(octetString(octets), 'it')).toThrow(malformed)
    expect(() => oidOf(sequence(oid('2.5.29.15')), 'it')).toThrow(malformed)
    expect(() => oidOf(undefined, 'it')).toThrow(malformed)
    expect(isTrue(booleanTrue())).toBe(true)
    expect(isTrue(decode(fromHex('010100'), 'false'))).toBe(false)
    expect(isTrue(smallInteger(1))).toBe(false)
    expect(isTrue(undefined)).toBe(false)
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Asn1Node, characterString, encode, sequence, Tag, time } from '../../ca/asn1.ts'
import { decode, timeOf } from '../../ca/asn1-read.ts'

const hex = (node: Asn1Node): string => encode(node).toString('hex')
const fromHex = (text: string): Buffer => Buffer.from(text, 'hex')
const utc = (text: string): Asn1Node => characterString(Tag.utcTime, Buffer.from(text))
const generalized = (text: string): Asn1Node =>
  characterString(Tag.generalizedTime, Buffer.from(text))

describe('times', () => {
  test.for([
    ['0001-01-01T00:00:00Z', '180f30303031303130313030303030305a'],
    ['1949-12-31T23:59:59Z', '180f31393439313233313233353935395a'],
    ['1950-01-01T00:00:00Z', '170d3530303130313030303030305a'],
    ['1999-12-31T23:59:59Z', '170d3939313233313233353935395a'],
    ['2000-02-29T12:00:00Z', '170d3030303232393132303030305a'],
    ['2049-12-31T23:59:59Z', '170d3439313233313233353935395a'],
    ['2050-01-01T00:00:00Z', '180f32303530303130313030303030305a'],
    ['9999-12-31T23:59:59Z', '180f39393939313233313233353935395a'],
  ] as const)('%s is written as RFC 5280 wants it', ([text, der]) => {
    expect(hex(time(new Date(text)))).toBe(der)
    expect(timeOf(decode(fromHex(der), 'time'), 'time')).toEqual(new Date(text))
  })

  test('every second of the years 1 to 9999 comes back, its fraction cut', () => {
    const date = fc.date({
      min: new Date('0001-01-01'),
      max: new Date('9999-12-31'),
      noInvalidDate: true,
    })
    fc.assert(
      fc.property(date, (value) => {
        expect(timeOf(time(value), 'time').getTime()).toBe(
          Math.floor(value.getTime() / 1000) * 1000,
        )
      }),
    )
  })

  test.for([
    Number.NaN,
    Date.parse('+010000-01-01T00:00:00Z'),
    Date.parse('-000001-01-01T00:00:00Z'),
  ])('%d ms is no time to write', (value) => {
    expect(() => time(new Date(value))).toThrow(expect.objectContaining({ code: 'bad_lifetime' }))
  })

  test.for([
    ['30 February', utc('230230000000Z')],
    ['29 February of a common year', utc('230229000000Z')],
    ['31 April', generalized('20230431000000Z')],
    ['month 13', utc('231301000000Z')],
    ['day 0', utc('230100000000Z')],
    ['hour 24', utc('230228240000Z')],
    ['second 60', utc('230228235960Z')],
    ['no seconds', utc('2302280000Z')],
    ['a zone', utc('230228000000+0100')],
    ['no zone', utc('230228000000')],
    ['a fraction', generalized('20230228000000.5Z')],
    ['four digits of year in UTCTime', utc('20230228000000Z')],
    ['two digits of year in GeneralizedTime', generalized('230228000000Z')],
    ['a line end', utc('230228000000Z\n')],
    ['another type', characterString(Tag.utf8String, Buffer.from('20230228000000Z'))],
    ['a sequence', sequence()],
    ['nothing', undefined],
  ] as const)('%s is no time to read', ([, node]) => {
    expect(() => timeOf(node, 'time')).toThrow(expect.objectContaining({ code: 'malformed' }))
  })
})

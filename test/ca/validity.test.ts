import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isNested, nestedValidity } from '../../ca/validity.ts'

const at = (text: string): Date => new Date(`2026-11-${text}Z`)
const now = at('23T12:00:00')
const issuer = { notBefore: at('01T00:00:00'), notAfter: at('30T00:00:00') }
const badLifetime = expect.objectContaining({ name: 'CaError', code: 'bad_lifetime' }) as Error

describe('nestedValidity', () => {
  test.for([
    ['an hour', now, 3600, issuer, '23T11:55:00', '23T13:00:00'],
    ['a second', now, 1, issuer, '23T11:55:00', '23T12:00:01'],
    ['parts of a second are cut', at('23T12:00:00.999'), 60, issuer, '23T11:55:00', '23T12:01:00'],
    [
      'a second, asked for late in one',
      at('23T12:00:00.999'),
      1,
      issuer,
      '23T11:55:00',
      '23T12:00:01',
    ],
    ['exactly to the end of the issuer', now, 561_600, issuer, '23T11:55:00', '30T00:00:00'],
    ['a second over', now, 561_601, issuer, '23T11:55:00', '30T00:00:00'],
    ['ten years', now, 315_360_000, issuer, '23T11:55:00', '30T00:00:00'],
    [
      'more than a Date can hold',
      now,
      Number.MAX_SAFE_INTEGER,
      issuer,
      '23T11:55:00',
      '30T00:00:00',
    ],
    ['an issuer of a minute ago', at('01T00:01:00'), 60, issuer, '01T00:00:00', '01T00:02:00'],
    ['an issuer of five minutes ago', at('01T00:05:00'), 60, issuer, '01T00:00:00', '01T00:06:00'],
    ['an issuer of now', at('01T00:00:00'), 60, issuer, '01T00:00:00', '01T00:01:00'],
    [
      'an issuer that ends in a second',
      at('29T23:59:59'),
      60,
      issuer,
      '29T23:54:59',
      '30T00:00:00',
    ],
  ] as const)('%s', ([, time, seconds, outer, begins, ends]) => {
    expect(nestedValidity(time, seconds, outer)).toEqual({
      notBefore: at(begins),
      notAfter: at(ends),
    })
  })

  test.for([
    ['no time at all', now, 0, issuer],
    ['less than nothing', now, -1, issuer],
    ['a fraction', now, 1.5, issuer],
    ['NaN seconds', now, Number.NaN, issuer],
    ['endless', now, Number.POSITIVE_INFINITY, issuer],
    ['a number that is not exact', now, 2 ** 53, issuer],
    [
      'an issuer that begins in a millisecond',
      at('30T23:59:59.999'),
      60,
      { notBefore: new Date('2026-12-01Z'), notAfter: new Date('2026-12-02Z') },
    ],
    ['an issuer that has ended', at('30T00:00:01'), 60, issuer],
    ['an issuer that ends now', at('30T00:00:00'), 60, issuer],
    ['an issuer that ended a millisecond ago', at('30T00:00:00.001'), 60, issuer],
    ['no time of issue', new Date(Number.NaN), 60, issuer],
  ] as const)('%s is refused', ([, time, seconds, outer]) => {
    expect(() => nestedValidity(time, seconds, outer)).toThrow(badLifetime)
  })

  test('is nested, holds now and lasts no longer than asked for, whatever is asked', () => {
    const instant = fc.date({ min: at('01T00:00:00'), max: at('29T23:59:59'), noInvalidDate: true })
    fc.assert(
      fc.property(instant, fc.integer({ min: 1, max: 10_000_000 }), (time, seconds) => {
        const validity = nestedValidity(time, seconds, issuer)
        expect(isNested(validity, issuer)).toBe(true)
        expect(validity.notBefore <= time && time < validity.notAfter).toBe(true)
        expect(validity.notAfter.getTime() - time.getTime()).toBeLessThanOrEqual(seconds * 1000)
        expect(validity.notAfter.getMilliseconds() + validity.notBefore.getMilliseconds()).toBe(0)
      }),
    )
  })
})

describe('isNested', () => {
  const none = new Date(Number.NaN)
  test.for([
    ['itself', issuer, true],
    ['within', { notBefore: at('02T00:00:00'), notAfter: at('03T00:00:00') }, true],
    ['a moment', { notBefore: now, notAfter: now }, true],
    ['before', { ...issuer, notBefore: at('01T00:00:00').getTime() - 1 }, false],
    ['behind', { ...issuer, notAfter: at('30T00:00:00').getTime() + 1 }, false],
    ['end before begin', { notBefore: at('03T00:00:00'), notAfter: at('02T00:00:00') }, false],
    ['no begin', { ...issuer, notBefore: none }, false],
    ['no end', { ...issuer, notAfter: none }, false],
  ] as const)('%s: %s', ([, inner, nested]) => {
    const { notBefore, notAfter } = inner
    expect(isNested({ notBefore: new Date(notBefore), notAfter: new Date(notAfter) }, issuer)).toBe(
      nested,
    )
  })

  test('nothing lies within what has no end', () => {
    expect(isNested(issuer, { ...issuer, notAfter: none })).toBe(false)
  })
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { duration, waitSeconds } from '../../src/cli/duration.ts'

test.for([
  ['0', 0],
  ['3600', 3600],
  ['9s', 9],
  ['45m', 2700],
  ['12h', 43_200],
  ['4d', 345_600],
  ['12h30m', 45_000],
  ['9m59s', 599],
  ['1d12h', 129_600],
  ['1d2h3m4s', 93_784],
  ['12:00', 43_200],
  ['0:45', 2700],
  ['0:5', 300],
  ['96:00', 345_600],
  ['1:02:03', 3723],
] as const)('%s', ([text, seconds]) => {
  expect(duration(text)).toBe(seconds)
})

const wrong =
  '|h|1w|1.5h|-1|12 h|0x10|96:60|30m1h|1h1h|NaN|12h30|:30|1:60:00|12:00:60|1e9|999999999d|٣h'

test.for(wrong.split('|'))('"%s" is not a duration', (text) => {
  expect(() => duration(text)).toThrow(
    `"${text}" must be a duration, for example 3600, 45m, 12h30m, 4d or 96:00 (hours:minutes)`,
  )
})

test.for([
  ['1', 1],
  ['60', 60],
  ['1m30s', 90],
  ['1h', 3600],
] as const)('a time limit of %s', ([text, seconds]) => {
  expect(waitSeconds(text)).toBe(seconds)
})

test.for(['0', '0s', '3601', '1h1s', '1d'])('a time limit of %s is out of bounds', (text) => {
  expect(() => waitSeconds(text)).toThrow('must be a number of seconds from 1 to 3600')
})

test('the parts of a duration add up', () => {
  const part = fc.nat({ max: 200 })
  fc.assert(
    fc.property(part, part, part, part, (days, hours, minutes, seconds) => {
      const text = `${days}d${hours}h${minutes}m${seconds}s`
      expect(duration(text)).toBe(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    }),
  )
})

test('any other text is refused with our error', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), (text) => {
      try {
        expect(Number.isSafeInteger(duration(text))).toBe(true)
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid_request' })
      }
    }),
  )
})

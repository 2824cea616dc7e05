import { expect, test } from 'vitest'
import { clockDifference, describeClockDifference } from '../../src/client/clock.ts'

const now = new Date('2026-11-27T12:00:00Z')

test.for([
  ['Fri, 27 Nov 2026 12:00:00 GMT', undefined],
  ['Fri, 27 Nov 2026 11:59:00 GMT', undefined],
  ['Fri, 27 Nov 2026 12:01:00 GMT', undefined],
  ['Fri, 27 Nov 2026 11:58:59 GMT', 61],
  ['Fri, 27 Nov 2026 12:10:00 GMT', -600],
  ['soon', undefined],
  [undefined, undefined],
  [['Fri, 27 Nov 2026 10:00:00 GMT'], undefined],
] as const)('Date: %s', ([date, seconds]) => {
  const header = typeof date === 'object' ? [...date] : date
  expect(clockDifference({ date: header }, now)).toBe(seconds)
})

test('says which clock is ahead', () => {
  expect(describeClockDifference(-600)).toMatch(
    /^the clock of this machine is 10 minutes behind the clock of the service; set it with NTP/,
  )
  expect(describeClockDifference(93_600)).toContain('1 day 2 hours ahead of the clock')
})

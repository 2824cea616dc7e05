import { expect, test } from 'vitest'
import { groupsSeen, withGroupsSeen } from '../../src/store/seen-groups.ts'

const day = (number: number): Date => new Date(Date.UTC(2026, 0, number, 12))

test('groups add up, and are forgotten 30 days after they were last seen', () => {
  const first = withGroupsSeen(null, ['a', 'b'], day(1))
  const second = withGroupsSeen(first, ['b', 'c'], day(11))
  expect([...groupsSeen(second, day(30))].sort()).toEqual(['a', 'b', 'c'])
  expect([...groupsSeen(second, day(31))].sort()).toEqual(['b', 'c'])
  expect(groupsSeen(second, day(41))).toEqual([])
  expect(groupsSeen(null, day(1))).toEqual([])
})

test('names that JavaScript uses itself are groups like others', () => {
  const names = ['__proto__', 'constructor', '1', 'a"b\\', 'ü\u0000']
  const stored = withGroupsSeen(withGroupsSeen(null, names, day(1)), ['x'], day(2))
  expect([...groupsSeen(stored, day(2))].sort()).toEqual([...names, 'x'].sort())
})

test('a list of an earlier version is as of today; the newest 2000 stay', () => {
  expect(groupsSeen('["a","b"]', day(1))).toEqual(['a', 'b'])
  const old = Array.from({ length: 2000 }, (_, index) => `g${index}`)
  const seen = groupsSeen(
    withGroupsSeen(withGroupsSeen(null, old, day(1)), ['new'], day(2)),
    day(2),
  )
  expect(seen).toHaveLength(2000)
  expect(seen).toContain('new')
})

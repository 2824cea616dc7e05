import { Script } from 'node:vm'
import { expect, test, vi } from 'vitest'
import { matchesWithinBounds } from '../../src/domain/bounded-regexp.ts'

test('a value on which a regexp takes too long is tried once, and refused each time', () => {
  const runs = vi.spyOn(Script.prototype, 'runInContext')
  const value = `${'a'.repeat(60)}!`
  for (let round = 0; round < 3; round += 1)
    expect(() => matchesWithinBounds('^(a+)+$', value)).toThrow('the regexp takes more than 25 ms')
  expect(runs).toHaveBeenCalledTimes(1)
  expect(matchesWithinBounds('^(a+)+$', 'aaa')).toBe(true)
})

import { expect, test } from 'vitest'
import { createShares } from '../../src/limits/shares.ts'

test('of one key, and of all', () => {
  const shares = createShares({ total: 3, perKey: 2 })
  const leave = shares.enter('a')
  shares.enter('a')
  expect(shares.enter('a')).toBe('key_full')
  shares.enter('b')
  expect(shares.enter('c')).toBe('full')
  if (typeof leave === 'function') {
    leave()
    // Twice is once.
    leave()
  }
  expect(typeof shares.enter('a')).toBe('function')
  expect(shares.enter('c')).toBe('full')
})

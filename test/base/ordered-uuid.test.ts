import { expect, test } from 'vitest'
import { orderedUuid } from '../../src/base/ordered-uuid.ts'

test('has the form of a UUID of version 4 and begins with the time', () => {
  const id = orderedUuid(new Date('2026-11-28T12:00:00.123Z'))
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  const time = Number.parseInt(id.slice(0, 13).replace('-', ''), 16)
  expect(time).toBe(Date.parse('2026-11-28T12:00:00.123Z'))
})

test('the time is where RFC 9562, appendix A.6, has it', () => {
  const time = new Date('2022-02-22T19:22:22Z')
  expect(orderedUuid(time).slice(0, 14)).toBe('017f22e2-79b0-')
})

test('later ids are greater, and ids of one millisecond differ', () => {
  const ids = Array.from({ length: 2000 }, (_none, index) => orderedUuid(new Date(index)))
  expect(ids).toEqual(ids.toSorted())
  const same = Array.from({ length: 10_000 }, () => orderedUuid(new Date(0)))
  expect(new Set(same).size).toBe(10_000)
})

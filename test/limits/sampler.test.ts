import { expect, test } from 'vitest'
import { createSampler } from '../../src/limits/sampler.ts'

function setUp(perMinute = 1) {
  const clock = { nowMs: 0 }
  return { clock, sample: createSampler({ perMinute, nowMs: () => clock.nowMs }) }
}

test('the first of a kind in each minute, with the number of those that were passed over', () => {
  const { clock, sample } = setUp()
  expect([sample('a'), sample('a'), sample('a'), sample('b')]).toEqual([
    { suppressed: 0 },
    undefined,
    undefined,
    { suppressed: 0 },
  ])
  clock.nowMs = 59_999
  expect(sample('a')).toBeUndefined()
  clock.nowMs = 60_000
  expect(sample('a')).toEqual({ suppressed: 3 })
  clock.nowMs = 120_000
  expect(sample('a')).toEqual({ suppressed: 0 })
})

test('as many of a kind as it is told', () => {
  const { sample } = setUp(2)
  expect([sample('a'), sample('a'), sample('a')].filter(Boolean).length).toBe(2)
})

test('a bound on all kinds together, so that many addresses do not fill the records', () => {
  const { clock, sample } = setUp()
  const taken = (): number =>
    Array.from({ length: 5000 }, (_none, index) => sample(`address ${index}`)).filter(Boolean)
      .length
  expect(taken()).toBe(120)
  clock.nowMs = 60_000
  expect(taken()).toBe(120)
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createIdentityLimiter } from '../../src/domain/issuing/identity-limiter.ts'
import { createRateLimiter } from '../../src/limits/rate-limiter.ts'

function limiterAt(perSecond: number, burst: number) {
  let nowMs = 1_000_000
  const limiter = createRateLimiter({ perSecond, burst, nowMs: () => nowMs })
  return { ...limiter, advance: (ms: number) => void (nowMs += ms) }
}

describe('token buckets', () => {
  test('a burst at once, then the rate', () => {
    const { take, advance } = limiterAt(2, 3)
    expect([take('a'), take('a'), take('a'), take('a')]).toEqual([0, 0, 0, 1])
    advance(499)
    expect(take('a')).toBe(1)
    advance(1)
    expect(take('a')).toBe(0)
    expect(take('a')).toBe(1)
    advance(60_000)
    expect([take('a'), take('a'), take('a'), take('a')]).toEqual([0, 0, 0, 1])
  })

  test('each key has its own', () => {
    const { take } = limiterAt(1, 1)
    expect([take('a'), take('b'), take('a'), take('b')]).toEqual([0, 0, 1, 1])
  })

  test('who waits as told gets a place', () => {
    const { take, advance } = limiterAt(0.01, 1)
    take('a')
    const waitSeconds = take('a')
    expect(waitSeconds).toBe(100)
    advance(waitSeconds * 1000)
    expect(take('a')).toBe(0)
  })

  test('never more than burst and rate together', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 10 }),
        fc.array(fc.integer({ min: 0, max: 500 }), { maxLength: 200 }),
        (perSecond, burst, pauses) => {
          const { take, advance } = limiterAt(perSecond, burst)
          let taken = 0
          let elapsedMs = 0
          for (const pause of pauses) {
            advance(pause)
            elapsedMs += pause
            if (take('a') === 0) taken += 1
          }
          expect(taken).toBeLessThanOrEqual(burst + (elapsedMs / 1000) * perSecond + 1e-6)
        },
      ),
    )
  })

  test('identities that look alike when joined are kept apart', () => {
    const { check } = createIdentityLimiter(limiterAt(1, 1))
    check({ issuer: 'https://a', sub: 'b' })
    check({ issuer: 'https://a","b', sub: '' })
    check({ issuer: 'https://', sub: 'ab' })
    expect(() => check({ issuer: 'https://a', sub: 'b' })).toThrow(
      expect.objectContaining({
        code: 'limit_reached',
        check: 'identity_rate',
        retryAfterSeconds: 1,
      }) as Error,
    )
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  decide,
  dueAt,
  type Failures,
  type ProxyLife,
  type RenewalPolicy,
} from '../../../src/certcache/renewal/renewal.ts'

const HOUR_MS = 3_600_000
const start = new Date('2026-11-23T00:00:00Z')
const at = (hours: number): Date => new Date(start.getTime() + hours * HOUR_MS)

const policy: RenewalPolicy = {
  renewBelow: 0.75,
  jitter: 0.1,
  renewAfterMs: undefined,
  retryFirstMs: 5000,
  retryLongestMs: 900_000,
}
/** Twelve hours; due after three of them, or up to 18 minutes earlier. */
const proxy = (draw = 0): ProxyLife => ({ obtainedAt: at(0), notAfter: at(12), draw })
const failures = (count: number, lastAt: Date, more: Partial<Failures> = {}): Failures => ({
  count,
  lastAt,
  draw: 1,
  retryAfterMs: undefined,
  ...more,
})

interface Case {
  readonly name: string
  readonly now: Date
  readonly proxy?: ProxyLife
  readonly failures?: Failures
  readonly policy?: Partial<RenewalPolicy>
  /** `now`, or milliseconds from `now`. */
  readonly wanted: 'now' | number
}

const cases: readonly Case[] = [
  { name: 'nothing in hand', now: at(0), wanted: 'now' },
  { name: 'a new proxy', now: at(0), proxy: proxy(), wanted: 3 * HOUR_MS },
  { name: 'just before it is due', now: at(2.999), proxy: proxy(), wanted: 0.001 * HOUR_MS },
  { name: 'when it is due', now: at(3), proxy: proxy(), wanted: 'now' },
  { name: 'long after it was due', now: at(11), proxy: proxy(), wanted: 'now' },
  { name: 'after its end', now: at(13), proxy: proxy(), wanted: 'now' },
  { name: 'jitter is earlier', now: at(0), proxy: proxy(1), wanted: 2.7 * HOUR_MS },
  {
    name: 'an age that comes before',
    now: at(0),
    proxy: proxy(),
    policy: { renewAfterMs: HOUR_MS },
    wanted: HOUR_MS,
  },
  {
    name: 'an age that comes after',
    now: at(0),
    proxy: proxy(),
    policy: { renewAfterMs: 9 * HOUR_MS },
    wanted: 3 * HOUR_MS,
  },
  {
    name: 'a proxy from before the clock was set back by more than half the wait',
    now: at(-1.6),
    proxy: proxy(),
    wanted: 'now',
  },
  {
    name: 'a proxy from a machine whose clock is a little ahead',
    now: at(-0.1),
    proxy: proxy(),
    wanted: 3.1 * HOUR_MS,
  },
  {
    name: 'a session that would end before the old time comes again',
    now: at(-0.2),
    proxy: { ...proxy(), renewableUntil: at(0.5) },
    wanted: 'now',
  },
  {
    name: 'a session that ends in half an hour unless it is renewed',
    now: at(0),
    proxy: { ...proxy(), renewableUntil: at(0.5) },
    wanted: HOUR_MS / 4,
  },
  {
    name: 'such a session, with jitter',
    now: at(0),
    proxy: { ...proxy(1), renewableUntil: at(0.5) },
    wanted: 0.9 * (HOUR_MS / 4),
  },
  {
    name: 'renewal that ends long after the proxy is due',
    now: at(0),
    proxy: { ...proxy(), renewableUntil: at(100) },
    wanted: 3 * HOUR_MS,
  },
  {
    name: 'renewal that ends within seconds: not more than once a minute',
    now: at(0),
    proxy: { ...proxy(), renewableUntil: new Date(at(0).getTime() + 10_000) },
    wanted: 60_000,
  },
  {
    name: 'renewal that had ended before the proxy was obtained',
    now: at(0),
    proxy: { ...proxy(), renewableUntil: at(-1) },
    wanted: 3 * HOUR_MS,
  },
  {
    name: 'a wait ends a minute before the session does',
    now: at(0.45),
    proxy: { ...proxy(), renewableUntil: at(0.5) },
    failures: failures(99, at(0.45)),
    wanted: 0.05 * HOUR_MS - 60_000,
  },
  { name: 'first failure', now: at(5), failures: failures(1, at(5)), wanted: 5000 },
  { name: 'third failure', now: at(5), failures: failures(3, at(5)), wanted: 20_000 },
  { name: 'many failures', now: at(5), failures: failures(99, at(5)), wanted: 900_000 },
  {
    name: 'half of the wait at least',
    now: at(5),
    failures: failures(2, at(5), { draw: 0 }),
    wanted: 5000,
  },
  { name: 'the wait is over', now: at(6), failures: failures(1, at(5)), wanted: 'now' },
  {
    name: 'Retry-After is honoured',
    now: at(5),
    failures: failures(1, at(5), { retryAfterMs: 120_000 }),
    wanted: 120_000,
  },
  {
    name: 'Retry-After is lengthened by half at most',
    now: at(5),
    failures: failures(1, at(5), { retryAfterMs: 120_000, draw: 0 }),
    wanted: 180_000,
  },
  {
    name: 'a Retry-After of a week is not',
    now: at(5),
    failures: failures(1, at(5), { retryAfterMs: 7 * 24 * HOUR_MS }),
    wanted: HOUR_MS,
  },
  {
    name: 'a wait ends a minute before the proxy does',
    now: new Date(at(12).getTime() - 120_000),
    proxy: proxy(),
    failures: failures(99, new Date(at(12).getTime() - 120_000)),
    wanted: 60_000,
  },
  {
    name: 'after the last attempt before the end the usual waits hold',
    now: new Date(at(12).getTime() - 30_000),
    proxy: proxy(),
    failures: failures(4, new Date(at(12).getTime() - 30_000)),
    wanted: 40_000,
  },
  {
    name: 'a failure before the proxy is due does not make it due earlier',
    now: at(1),
    proxy: proxy(),
    failures: failures(1, at(1)),
    wanted: 2 * HOUR_MS,
  },
  {
    name: 'a clock that was set back makes nobody wait for the old time',
    now: at(5),
    failures: failures(1, at(15)),
    wanted: 5000,
  },
]

test.for(cases)('$name', ({ now, wanted, ...rest }) => {
  const has = { proxy: rest.proxy, failures: rest.failures }
  const decision = decide(now, { ...policy, ...rest.policy }, has)
  if (wanted === 'now') expect(decision).toEqual({ renew: true })
  else expect(decision).toEqual({ renew: false, at: new Date(now.getTime() + wanted) })
})

const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const policies = fc
  .record({
    renewBelow: fc.double({ min: 0.05, max: 0.95, noNaN: true }),
    jitter: fc.double({ min: 0, max: 0.5, noNaN: true }),
    renewAfterMs: fc.option(fc.integer({ min: 10_000, max: 40 * 24 * HOUR_MS }), {
      nil: undefined,
    }),
    retryFirstMs: fc.integer({ min: 10, max: HOUR_MS }),
    longer: fc.integer({ min: 0, max: 24 * HOUR_MS }),
  })
  .map(({ longer, ...rest }): RenewalPolicy => ({
    ...rest,
    retryLongestMs: rest.retryFirstMs + longer,
  }))
const lives = fc
  .record({ lifeMs: fc.integer({ min: 1000, max: 400 * 24 * HOUR_MS }), draw: unit })
  .map(({ lifeMs, draw }): ProxyLife => ({
    obtainedAt: start,
    notAfter: new Date(start.getTime() + lifeMs),
    draw,
  }))

describe('for any policy and proxy', () => {
  test('it is due before its end, and never before its begin', () => {
    fc.assert(
      fc.property(policies, lives, (policy, proxy) => {
        const due = dueAt(policy, proxy).getTime()
        expect(due).toBeGreaterThanOrEqual(proxy.obtainedAt.getTime())
        expect(due).toBeLessThanOrEqual(proxy.notAfter.getTime())
      }),
    )
  })

  test('no wait is negative, and none outlasts the proxy while an attempt can still be made', () => {
    const failed = fc.record({
      count: fc.integer({ min: 1, max: 1000 }),
      part: fc.double({ min: 0, max: 1.2, noNaN: true }),
      draw: unit,
      retryAfterMs: fc.option(fc.nat(100 * HOUR_MS), { nil: undefined }),
    })
    const ago = fc.nat(2 * HOUR_MS)
    fc.assert(
      fc.property(policies, lives, failed, ago, (policy, proxy, { part, ...rest }, agoMs) => {
        const lifeMs = proxy.notAfter.getTime() - start.getTime()
        const lastAt = new Date(start.getTime() + Math.floor(part * lifeMs))
        const now = new Date(lastAt.getTime() + agoMs)
        const decision = decide(now, policy, { proxy, failures: { ...rest, lastAt } })
        if (decision.renew) return
        expect(decision.at.getTime()).toBeGreaterThan(now.getTime())
        const marginMs = Math.min(60_000, lifeMs / 10)
        const lastChance = proxy.notAfter.getTime() - marginMs
        const due = dueAt(policy, proxy).getTime()
        // Either it waits for its time, or an attempt comes before the end.
        if (lastAt.getTime() < lastChance)
          expect(decision.at.getTime()).toBeLessThanOrEqual(Math.max(due, lastChance) + 1)
      }),
    )
  })

  test('while all attempts fail, there are few, and the last comes shortly before the end', () => {
    fc.assert(
      fc.property(policies, lives, fc.integer(), (policy, proxy, seed) => {
        let state = seed >>> 0
        const draw = (): number => {
          state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
          return state / 2 ** 32
        }
        let now = proxy.obtainedAt
        let failed: Failures | undefined
        let attempts = 0
        let last = now
        while (now < proxy.notAfter && attempts < 5000) {
          const decision = decide(now, policy, { proxy, failures: failed })
          if (!decision.renew) {
            // The engine sleeps in pieces; the decision must not move meanwhile.
            now = decision.at
            continue
          }
          attempts += 1
          last = now
          failed = { count: attempts, lastAt: now, draw: draw(), retryAfterMs: undefined }
          now = new Date(now.getTime() + 1)
        }
        expect(attempts).toBeGreaterThan(0)
        const lifeMs = proxy.notAfter.getTime() - start.getTime()
        if (attempts < 5000)
          expect(proxy.notAfter.getTime() - last.getTime()).toBeLessThanOrEqual(
            Math.max(
              Math.min(60_000, lifeMs / 10),
              proxy.notAfter.getTime() - dueAt(policy, proxy).getTime(),
            ) + 2,
          )
        const most = (lifeMs / policy.retryFirstMs) * 2 + 40
        expect(attempts).toBeLessThanOrEqual(Math.max(most, 40))
      }),
      { numRuns: 60 },
    )
  })
})

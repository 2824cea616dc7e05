import { describe, expect, test } from 'vitest'
import { adviceFor, DAY_MS, renewsUntil } from '../../../src/domain/delegations/forecast.ts'
import type { HeldRefreshToken } from '../../../src/grants/refresh-token.ts'

const start = new Date('2026-11-23T12:00:00.000Z')
const day = (count: number): Date => new Date(start.getTime() + count * DAY_MS)
const bounds = { maximumDays: 365, lifetimeDays: () => 30 }
const held: HeldRefreshToken = {
  current: 'now',
  previous: undefined,
  grantedAt: start,
  renewedAt: start,
  rotates: undefined,
  attemptBegunAt: undefined,
}
const made = { createdAt: start, providerId: 'iam' }

describe('the forecast', () => {
  test.for([
    ['just made: a life from its grant', {}, {}, 30],
    ['never rotated: the end stands', { rotates: false, renewedAt: day(20) }, {}, 30],
    ['rotated: a life from the newest token', { rotates: true, renewedAt: day(20) }, {}, 50],
    ['what the provider says wins', { refreshExpiresAt: day(7) }, {}, 7],
    ['never beyond the bound', { rotates: true, renewedAt: day(350) }, {}, 365],
    ['a small bound wins over all', { refreshExpiresAt: day(7) }, { maximumDays: 2 }, 2],
    ['a provider without the section: the bound', {}, { lifetimeDays: () => undefined }, 365],
  ] as const)('%s', ([, token, changes, days]) => {
    const until = renewsUntil({ ...held, ...token }, made, { ...bounds, ...changes })
    expect(until).toEqual(day(days))
  })
})

describe('the advice', () => {
  const delegation = {
    ...made,
    state: 'active',
    renewsUntil: day(30),
    rotates: undefined,
    lastUsedAt: undefined,
    endedAt: undefined,
    endReason: undefined,
  } as const
  test.for([
    [
      'a fixed end',
      {},
      "It renews by itself until 2026-12-23 12:00 UTC, when the provider's refresh token ends; before that, make a new delegation with a new access token.",
    ],
    [
      'an end that moves',
      { rotates: true },
      'It renews by itself until 2026-12-23 12:00 UTC. Every renewal extends this, at most to 2027-11-23 12:00 UTC: you need to do nothing while it is used at least every 30 days.',
    ],
    [
      'the short life of a Keycloak session, before its first use',
      { renewsUntil: day(0.02) },
      'It renews by itself until 2026-11-23 12:28 UTC. Every use before then extends this, unless the login session at the provider ends first; after that, make a new delegation with a new access token.',
    ],
    [
      'the short life of a Keycloak session, after a use',
      { rotates: true, lastUsedAt: day(1), renewsUntil: day(1.02) },
      'It renews by itself until 2026-11-24 12:28 UTC. Every use before then extends this, unless the login session at the provider ends first; after that, make a new delegation with a new access token.',
    ],
    [
      'the bound',
      { rotates: true, renewsUntil: day(365) },
      'It renews by itself until 2027-11-23 12:00 UTC, the longest that this service allows; before that, make a new delegation with a new access token.',
    ],
    [
      'past its forecast',
      { renewsUntil: day(-1) },
      'Its forecast end has passed (2026-11-22 12:00 UTC), so that renewal may fail at any time: make a new delegation with a new access token now.',
    ],
    [
      'ended',
      { state: 'ended', endedAt: day(-2), endReason: 'the account is disabled' },
      'Renewal is over since 2026-11-21 12:00 UTC (the account is disabled); to continue, make a new delegation with a new access token.',
    ],
    [
      'revoked',
      { state: 'revoked', endedAt: day(-2), endReason: 'taken back by its owner' },
      'Renewal is over since 2026-11-21 12:00 UTC (taken back by its owner); to continue, make a new delegation with a new access token.',
    ],
  ] as const)('%s', ([, changes, advice]) => {
    expect(adviceFor({ ...delegation, ...changes }, bounds, start)).toBe(advice)
  })
})

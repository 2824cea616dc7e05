import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  KEY_LIFETIME_MS,
  planKeys,
  PUBLISHED_AHEAD_MS,
} from '../../../src/domain/access-tokens/key-plan.ts'

const DAY_MS = 86_400_000
const START = Date.UTC(2026, 0, 1)
const at = (days: number): Date => new Date(START + days * DAY_MS)
const keyOf = (days: number) => ({ id: `day ${days}`, createdAt: at(days) })
const SIX_HOURS = 0.25

const idsAt = (days: number, created: readonly number[]) => {
  const { signing, published, obsolete, needsNewKey } = planKeys(created.map(keyOf), at(days))
  const ids = (keys: readonly { readonly id: string }[]) => keys.map(({ id }) => id)
  return {
    signing: signing?.id,
    published: ids(published),
    obsolete: ids(obsolete),
    needsNewKey,
  }
}

describe('planKeys', () => {
  interface Row {
    readonly name: string
    readonly created: readonly number[]
    readonly day: number
    readonly signing: string | undefined
    readonly published?: readonly string[]
    readonly isDue?: boolean
  }
  test.for<Row>([
    { name: 'no key', created: [], day: 0, signing: undefined, published: [], isDue: true },
    { name: 'the first key signs at once', created: [0], day: 0, signing: 'day 0', isDue: false },
    { name: 'just before its age', created: [0], day: 89.9, signing: 'day 0', isDue: false },
    { name: 'at its age', created: [0], day: 90, signing: 'day 0', isDue: true },
    { name: 'a new key is only published', created: [0, 90], day: 94.9, signing: 'day 0' },
    { name: 'then it signs, and the old one stays', created: [0, 90], day: 95, signing: 'day 90' },
    {
      name: 'until the last token of six hours ended, and an hour',
      created: [0, 90],
      day: 95.29,
      signing: 'day 90',
    },
    {
      name: 'then it goes',
      created: [0, 90],
      day: 95.3,
      signing: 'day 90',
      published: ['day 90'],
    },
    {
      name: 'a service that was off for a year',
      created: [0, 90],
      day: 460,
      signing: 'day 90',
      published: ['day 90'],
      isDue: true,
    },
    { name: 'a clock that was ahead', created: [100], day: 0, signing: 'day 100' },
  ])('$name', ({ created, day, signing, published, isDue = false }) => {
    const all = created.map((days) => `day ${days}`)
    expect(idsAt(day, created)).toEqual({
      signing,
      published: published ?? all,
      obsolete: all.filter((id) => published !== undefined && !published.includes(id)),
      needsNewKey: isDue,
    })
  })

  test('whatever the keys: who has an old key set can check every valid token', () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 200 * 24 }), { minLength: 1, maxLength: 6 })
    const hours = fc.integer({ min: 0, max: 400 * 24 })
    fc.assert(
      fc.property(gaps, hours, fc.integer({ min: 0, max: 4 * 24 }), (given, hour, ageHours) => {
        let sum = 0
        const created = given.map((gap) => (sum += gap) / 24)
        const now = hour / 24 + (created[0] ?? 0)
        const known = created.filter((days) => days <= now)
        const { signing, published } = idsAt(now, known)
        expect(published).toContain(signing)
        // A key set that a verifier fetched up to four days ago, but not before there was a service.
        const before = now - ageHours / 24
        const knownBefore = created.filter((days) => days <= before)
        if (knownBefore.length > 0) expect(idsAt(before, knownBefore).published).toContain(signing)
        // A token that was signed up to six hours ago, whatever the configuration says now.
        const earlier = now - SIX_HOURS
        const knownEarlier = created.filter((days) => days <= earlier)
        if (knownEarlier.length > 0)
          expect(published).toContain(idsAt(earlier, knownEarlier).signing)
      }),
    )
    expect(PUBLISHED_AHEAD_MS).toBeLessThan(KEY_LIFETIME_MS)
  })
})

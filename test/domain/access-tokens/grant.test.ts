import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { grantedGroups, grantedScopes } from '../../../src/domain/access-tokens/grant.ts'
import { createLatestGroupsMemory } from '../../../src/domain/access-tokens/latest-groups.ts'

const SEEN = new Date('2026-11-23T12:00:00Z')
const seen = SEEN.getTime() / 1000
const limits = { groupsMaximumAgeSeconds: 3600, expiresAt: seen + 600 }

describe('grantedGroups', () => {
  test('have the syntax of the WLCG profile, or are left out', () => {
    const groups = ['cms', 'cms/a.b_c-1', 'x/Role=NULL', 'a b', '', 'é', '-x', 'a//b', 'a/', '../x']
    expect(grantedGroups({ groups, seenAt: SEEN }, limits)).toEqual(['/cms', '/cms/a.b_c-1'])
  })

  test.for([
    [3600, true],
    [3601, false],
  ] as const)('a token that ends %i seconds after: %s', ([seconds, isFresh]) => {
    const times = { ...limits, expiresAt: seen + seconds }
    expect(grantedGroups({ groups: ['cms'], seenAt: SEEN }, times)).toEqual(isFresh ? ['/cms'] : [])
  })

  test('nobody seen, nothing known', () => {
    expect(grantedGroups(undefined, limits)).toEqual([])
  })

  test('any names: what comes out is a group of the profile', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' })), (groups) => {
        for (const group of grantedGroups({ groups, seenAt: SEEN }, limits))
          expect(group).toMatch(/^(\/[A-Za-z0-9][A-Za-z0-9_.-]*)+$/)
      }),
    )
  })
})

describe('grantedScopes', () => {
  const settings = { scopes: ['storage.read:/cms', 'compute.read'] }
  const groups = ['/cms']
  test.for([
    { name: 'none asked, groups known', asked: undefined, groups, scopes: ['wlcg.groups'] },
    { name: 'none asked, none known', asked: undefined, groups: [], scopes: [] },
    { name: 'twice', asked: 'compute.read  compute.read', groups, scopes: ['compute.read'] },
    {
      name: 'all',
      asked: 'wlcg.groups compute.read',
      groups,
      scopes: ['wlcg.groups', 'compute.read'],
    },
    { name: 'blanks alone', asked: '  ', groups, scopes: [] },
  ])('$name', ({ asked, groups: known, scopes }) => {
    expect(grantedScopes(settings, { asked, groups: known })).toEqual(scopes)
  })

  test.for(['storage.read:/', 'storage.read:/cms/x', 'COMPUTE.READ', 'openid', 'offline_access'])(
    '%s is not offered',
    (asked) => {
      expect(() => grantedScopes(settings, { asked, groups })).toThrow(/not offered/)
    },
  )

  test('groups that nobody knows cannot be asked for', () => {
    expect(() => grantedScopes(settings, { asked: 'wlcg.groups', groups: [] })).toThrow(/no groups/)
  })
})

describe('the memory of groups', () => {
  function make() {
    const written: unknown[] = []
    let ms = 0
    const memory = createLatestGroupsMemory({
      records: {
        remember: async (id, { groups, seenAt }) => void written.push([id, groups, seenAt]),
      },
      now: () => new Date(SEEN.getTime() + ms),
      nowMs: () => ms,
    })
    return { memory, written, later: (by: number) => (ms += by) }
  }

  test('writes new groups at once, the same ones once a minute, and nothing without a token', async () => {
    const { memory, written, later } = make()
    await memory.remember('a', { groups: ['x'] })
    await memory.remember('a', { groups: ['x'] })
    await memory.remember('a', undefined)
    await memory.remember('b', { 'wlcg.groups': ['/x/y'] })
    later(59_999)
    await memory.remember('a', { groups: ['x'] })
    expect(written).toHaveLength(2)
    later(1)
    await memory.remember('a', { groups: ['x'] })
    await memory.remember('a', {})
    expect(written).toEqual([
      ['a', ['x'], SEEN],
      ['b', ['x/y'], SEEN],
      ['a', ['x'], new Date(SEEN.getTime() + 60_000)],
      ['a', [], new Date(SEEN.getTime() + 60_000)],
    ])
  })

  test('what could not be written is written the next time', async () => {
    let fails = true
    const written: string[] = []
    const memory = createLatestGroupsMemory({
      records: {
        remember: async (id) => {
          if (fails) throw new Error('down')
          written.push(id)
        },
      },
      now: () => SEEN,
      nowMs: () => 0,
    })
    await expect(memory.remember('a', { groups: ['x'] })).rejects.toThrow('down')
    fails = false
    await memory.remember('a', { groups: ['x'] })
    expect(written).toEqual(['a'])
  })
})

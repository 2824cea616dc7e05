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
    expect(grantedGroups({ groups, statedAt: SEEN }, limits)).toEqual(['/cms', '/cms/a.b_c-1'])
  })

  test.for([
    [3600, true],
    [3601, false],
  ] as const)('a token that ends %i seconds after: %s', ([seconds, isFresh]) => {
    const times = { ...limits, expiresAt: seen + seconds }
    expect(grantedGroups({ groups: ['cms'], statedAt: SEEN }, times)).toEqual(
      isFresh ? ['/cms'] : [],
    )
  })

  test('nobody seen, nothing known', () => {
    expect(grantedGroups(undefined, limits)).toEqual([])
  })

  test('any names: what comes out is a group of the profile', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' })), (groups) => {
        for (const group of grantedGroups({ groups, statedAt: SEEN }, limits))
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
    let fails = false
    const memory = createLatestGroupsMemory({
      records: {
        remember: async (id, { groups, statedAt }) => {
          if (fails) throw new Error('down')
          written.push([id, groups, (statedAt.getTime() - SEEN.getTime()) / 1000])
        },
      },
      now: () => SEEN,
    })
    /** A token that was issued this many seconds after the start; undefined: it does not say when. */
    const remember = async (id: string, groups: string[] | undefined, issued?: number) =>
      memory.remember(id, {
        ...(groups === undefined ? {} : { groups }),
        ...(issued === undefined ? {} : { iat: seen + issued }),
      })
    return { memory, written, remember, setFailing: (value: boolean) => (fails = value) }
  }

  test('new groups of a newer token are written at once, the same ones once a minute', async () => {
    const { memory, written, remember } = make()
    await remember('a', ['x'], -600)
    await remember('a', ['x'], -541)
    await memory.remember('a', undefined)
    await memory.remember('b', { 'wlcg.groups': ['/x/y'], iat: seen - 5 })
    expect(written).toHaveLength(2)
    await remember('a', ['x'], -540)
    await remember('a', undefined, -530)
    expect(written).toEqual([
      ['a', ['x'], -600],
      ['b', ['x/y'], -5],
      ['a', ['x'], -540],
      ['a', [], -530],
    ])
  })

  test('an older token changes nothing; one from the future, or without a time, is of now', async () => {
    const { written, remember } = make()
    await remember('a', ['new'], -10)
    await remember('a', ['old'], -11)
    await remember('b', ['x'], 3600)
    await remember('c', ['x'])
    expect(written).toEqual([
      ['a', ['new'], -10],
      ['b', ['x'], 0],
      ['c', ['x'], 0],
    ])
  })

  test('what could not be written is written the next time', async () => {
    const { written, remember, setFailing } = make()
    setFailing(true)
    await expect(remember('a', ['x'], -1)).rejects.toThrow('down')
    setFailing(false)
    await remember('a', ['x'], -1)
    expect(written).toEqual([['a', ['x'], -1]])
  })
})

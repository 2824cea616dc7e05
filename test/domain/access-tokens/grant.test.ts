import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { grantedGroups, grantedScopes } from '../../../src/domain/access-tokens/grant.ts'

const SEEN = new Date('2026-11-23T12:00:00Z')
const seen = SEEN.getTime() / 1000
const limits = { groupsMaximumAgeSeconds: 3600, expiresAt: seen + 600 }

const known = (groups: readonly string[]) => ({ groups: { groups }, statedAt: SEEN })

describe('grantedGroups', () => {
  test('have the syntax of the WLCG profile, or are left out', () => {
    const groups = ['cms', 'cms/a.b_c-1', 'x/Role=NULL', 'a b', '', 'é', '-x', 'a//b', 'a/', '../x']
    expect(grantedGroups(known(groups), limits)).toEqual(['/cms', '/cms/a.b_c-1'])
  })

  test.for([
    [3600, true],
    [3601, false],
  ] as const)('a token that ends %i seconds after: %s', ([seconds, isFresh]) => {
    const times = { ...limits, expiresAt: seen + seconds }
    expect(grantedGroups(known(['cms']), times)).toEqual(isFresh ? ['/cms'] : [])
  })

  test('both claims count, and no other', () => {
    const groups = { groups: ['b', 'a'], 'wlcg.groups': ['c', 'a'], entitlement: ['d'] }
    expect(grantedGroups({ groups, statedAt: SEEN }, limits)).toEqual(['/a', '/b', '/c'])
  })

  test('nobody seen, nothing known', () => {
    expect(grantedGroups(undefined, limits)).toEqual([])
  })

  test('any names: what comes out is a group of the profile', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' })), (groups) => {
        for (const group of grantedGroups(known(groups), limits))
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

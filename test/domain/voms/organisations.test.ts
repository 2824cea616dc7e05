import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatFqan, parseFqan } from '../../../ca/voms/fqan.ts'
import { configurationSchema } from '../../../src/config/schema.ts'
import { statedGroups } from '../../../src/domain/voms/known-groups.ts'
import { fqansOf, selectFqans } from '../../../src/domain/voms/organisations.ts'
import { organisationsOf } from '../../../src/service/compose-voms.ts'

const now = new Date('2026-11-23T12:00:00Z')

function organisation(rules: readonly { group: string; fqan: string }[] | undefined) {
  const configuration = configurationSchema.parse({
    providers: { iam: { issuer: 'https://iam.example.org/', audiences: ['a'] } },
    voms: {
      host: 'tts.example.org',
      vos: { cms: { provider: 'iam', port: 1, ...(rules && { fqans: rules }) } },
    },
  })
  const found = organisationsOf(configuration).get('cms')
  if (found === undefined) throw new Error('there is no VO')
  return found
}

const fqansFor = (
  rules: readonly { group: string; fqan: string }[] | undefined,
  groups: unknown,
): readonly string[] =>
  fqansOf(organisation(rules), statedGroups({ groups }, ['groups'], now)).map(formatFqan)

describe('groups and FQANs', () => {
  test.for<readonly [string, { group: string; fqan: string }[] | undefined, unknown, string[]]>([
    [
      'the VO and all below, by default',
      undefined,
      ['cms/a/b', 'cms'],
      ['/cms', '/cms/a', '/cms/a/b'],
    ],
    ['nothing of other groups', undefined, ['cmsx', 'xcms', 'cms-x', 'CMS', ''], []],
    ['a text with spaces', undefined, 'cms cms/x', ['/cms', '/cms/x']],
    ['no list', undefined, { cms: true }, []],
    ['numbers in the list', undefined, [7, null, 'cms'], ['/cms']],
    ['a leading slash, once', undefined, ['/cms', '//cms/x'], ['/cms']],
    [
      'a rule with a slash and a group without',
      [{ group: '/g/p', fqan: '/cms/Role=p' }],
      ['g/p'],
      ['/cms', '/cms/Role=p'],
    ],
    [
      'groups before roles, the VO first',
      [
        { group: 'r', fqan: '/cms/Role=r' },
        { group: 'a', fqan: '/cms/a' },
      ],
      ['r', 'a'],
      ['/cms', '/cms/a', '/cms/Role=r'],
    ],
    [
      'a subtree elsewhere',
      [{ group: 'x/y/*', fqan: '/cms/z/*' }],
      ['x/y', 'x/y/1', 'x/y/1/2'],
      ['/cms', '/cms/z', '/cms/z/1', '/cms/z/1/2'],
    ],
    [
      'an entitlement',
      [
        {
          group: 'urn:mace:egi.eu:group:cms:role=production#aai.egi.eu',
          fqan: '/cms/Role=production',
        },
      ],
      ['urn:mace:egi.eu:group:cms:role=production#aai.egi.eu'],
      ['/cms', '/cms/Role=production'],
    ],
  ])('%s', ([, rules, groups, expected]) => {
    expect(fqansFor(rules, groups)).toEqual(expected)
  })

  const hostile = fc.oneof(
    fc.constantFrom(
      'cms/Role=admin',
      'cms/x/Role=admin',
      'cms/x/Role=admin/Capability=NULL',
      'cms/../atlas',
      'cms/',
      'cms//x',
      'cms/x y',
      'cms/x\n',
      '/cms/Role=admin',
      'cms/Capability=NULL',
      'cms/Role=NULL',
      'cms/Role=',
    ),
    fc.string({ maxLength: 30 }).map((text) => `cms/${text}`),
  )

  test('no group makes a role, or an FQAN of another VO, where a rule has /*', () => {
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 8 }), (groups) => {
        for (const text of fqansFor(undefined, groups)) {
          expect(parseFqan(text).role).toBeUndefined()
          expect(text).toMatch(/^\/cms(\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/)
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('a token states its groups', () => {
  test.for<readonly [string, unknown, string]>([
    ['when it was issued', now.getTime() / 1000 - 60, '2026-11-23T11:59:00.000Z'],
    ['now, without iat', undefined, '2026-11-23T12:00:00.000Z'],
    ['now, with an iat in the future', now.getTime() / 1000 + 60, '2026-11-23T12:00:00.000Z'],
    ['now, with an iat that is none', 'yesterday', '2026-11-23T12:00:00.000Z'],
    ['now, with a negative iat', -5, '2026-11-23T12:00:00.000Z'],
    ['now, with NaN', Number.NaN, '2026-11-23T12:00:00.000Z'],
  ])('%s', ([, iat, expected]) => {
    expect(statedGroups({ iat }, [], now).statedAt.toISOString()).toBe(expected)
  })
})

describe('selecting', () => {
  const available = ['/cms', '/cms/a', '/cms/Role=r', '/cms/a/Role=s'].map(parseFqan)
  test('never gives what is not available, and each FQAN once', () => {
    const some = fc.constantFrom(
      '/cms',
      '/cms/a',
      '/cms/Role=r',
      '/cms/a/Role=s',
      '/cms/b',
      '/cms/Role=x',
    )
    fc.assert(
      fc.property(fc.array(some, { maxLength: 8 }), (asked) => {
        const { fqans, missing } = selectFqans(available, asked.map(parseFqan))
        const texts = fqans.map(formatFqan)
        expect(new Set(texts).size).toBe(texts.length)
        expect(available.map(formatFqan)).toEqual(expect.arrayContaining(texts))
        const inVain = asked.filter((text) => !available.map(formatFqan).includes(text))
        expect(missing.map(formatFqan)).toEqual(inVain)
        // A role is there only because it was asked for.
        for (const text of texts) if (text.includes('Role=')) expect(asked).toContain(text)
      }),
    )
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nearValue } from '../../src/cli/near-value.ts'
import { describeRule, neededChanges, nearValueQuestions } from '../../src/cli/rule-words.ts'
import { authorise } from '../../src/domain/issuing/authorise.ts'

type Condition = Parameters<typeof authorise>[0]['allow'][number]['claims'][string]

const decide = (condition: Condition, groups: unknown, list: 'allow' | 'forbid' = 'allow') => {
  const rule = { provider: 'any', claims: { groups: condition } }
  const rules = { allow: [], forbid: [], [list]: [rule] }
  return authorise(rules, { providerId: 'iam', claims: { groups } })
}

const near = (condition: Condition, groups: unknown) => {
  const [found] = decide(condition, groups).trace.flatMap((rule) => rule.conditions.map(nearValue))
  return found
}

describe('nearValue', () => {
  test.for<[Condition, unknown, string, string]>([
    // Keycloak's mapper sends the full path.
    [{ contains: 'cms' }, ['/cms', '/atlas'], '/cms', 'slash'],
    [{ contains: '/cms' }, ['cms'], 'cms', 'slash'],
    [{ contains: '/cms/production' }, ['cms/production'], 'cms/production', 'slash'],
    [{ contains: 'cms' }, 'atlas /cms', '/cms', 'slash'],
    [{ contains: 'cms' }, ['CMS'], 'CMS', 'case'],
    [{ contains: '/cms' }, ['Cms'], 'Cms', 'case'],
    [{ contains: 'production' }, ['/cms/production'], '/cms/production', 'component'],
    [{ contains: '/cms/production' }, ['production'], 'production', 'component'],
    [{ contains: 'production' }, ['producton'], 'producton', 'typing error'],
    [{ contains: 'atlas' }, ['altas', 'atlass'], 'atlass', 'typing error'],
    [{ contains: 'atlas' }, ['atlos'], 'atlos', 'typing error'],
    [{ contains_substring: 'cms' }, ['/cms'], '/cms', 'slash'],
    [{ contains_substring: 'cms' }, 'CMS', 'CMS', 'case'],
    [{ is_member_of: ['atlas', 'cms'] }, '/cms', '/cms', 'slash'],
    [{ is_member_of: ['atlas', 'cms'] }, ['cms'], 'cms', 'whole'],
    [{ equals: 'cms' }, 'Cms', 'Cms', 'case'],
    [{ equals: 'cms' }, ['cms'], 'cms', 'whole'],
    [{ equals: 'cms' }, 'cms atlas', 'cms', 'whole'],
    // The likeliest one wins, whatever the order in the token.
    [{ contains: 'cms' }, ['/vo/cms', 'CMS', '/cms'], '/cms', 'slash'],
  ])('%j, token with %j: %s (%s)', ([condition, groups, value, difference]) => {
    expect(near(condition, groups)).toMatchObject({ value, difference })
  })

  test.for<[Condition, unknown]>([
    [{ contains: 'cms' }, ['cms']],
    [{ contains: 'cms' }, ['atlas']],
    [{ contains: 'cms' }, []],
    [{ contains: 'cms' }, undefined],
    [{ contains: 'cms' }, 7],
    [{ contains: 'cms' }, [7, null, { cms: true }]],
    // Too short: cms and ams are two names.
    [{ contains: 'cms' }, ['ams']],
    [{ contains: 'atlas' }, ['altas']],
    [{ contains: 'atlas' }, ['atl']],
    // Part of a component is no component.
    [{ contains: 'production' }, ['/cms/nonproduction']],
    [{ contains: '/' }, ['/cms/']],
    [{ equals: 7 }, '7'],
    [{ equals: true }, 'true'],
    [{ regexp: '^cms$' }, '/cms'],
    [{ any: false }, 'cms'],
  ])('%j, token with %j: nothing near', ([condition, groups]) => {
    expect(near(condition, groups)).toBeUndefined()
  })

  test('a near value is always one of the token, and never one that the rule accepts', () => {
    const word = fc.string({ unit: fc.constantFrom('/', 'a', 'A', 'b', 'c', 'é'), maxLength: 8 })
    fc.assert(
      fc.property(word.filter(Boolean), fc.array(word), (contains, groups) => {
        const found = near({ contains }, groups)
        if (found === undefined) return
        expect(groups).toContain(found.value)
        expect(found.value).not.toBe(contains)
        expect(groups).not.toContain(contains)
      }),
    )
  })
})

describe('the question to the operator', () => {
  test.for<[Condition, unknown, string]>([
    [{ contains: 'cms' }, ['/cms'], 'did you mean "/cms"?'],
    [
      { is_member_of: ['cms'] },
      ['cms'],
      'the claim has more than one value: use contains, which compares each of them',
    ],
  ])('%j, token with %j: %s', ([condition, groups, question]) => {
    const decision = decide(condition, groups)
    const [rule] = decision.trace.map(describeRule)
    expect(rule?.conditions[0]?.why).toBe(`does not match; ${question}`)
    expect(neededChanges(decision, 'proxy')).toEqual([expect.stringContaining(`; ${question})`)])
    expect(nearValueQuestions(decision)).toEqual([
      expect.stringMatching(/^allow rule 0 says groups /),
    ])
    expect(nearValueQuestions(decision)[0]).toContain(question)
    // The caller's answer and the log get these, without a value of the token.
    expect(`${decision.reason} ${decision.remedy}`).not.toMatch(/cms|did you mean/)
  })

  test('there is none for forbid rules, nor for a user who is allowed', () => {
    const forbid = decide({ contains: 'cms' }, ['/cms'], 'forbid')
    expect(forbid.trace.map(describeRule)[0]?.conditions[0]?.why).toBe('does not match')
    expect(nearValueQuestions(forbid)).toEqual([])
    const allowed = authorise(
      {
        allow: [
          { provider: 'any', claims: { groups: { contains: 'cms' } } },
          { provider: 'any', claims: { sub: { any: true } } },
        ],
        forbid: [],
      },
      { providerId: 'iam', claims: { sub: 'u', groups: ['/cms'] } },
    )
    expect(allowed.allowed).toBe(true)
    expect(nearValueQuestions(allowed)).toEqual([])
  })

  test('control characters of the token do not reach the terminal', () => {
    const [question] = nearValueQuestions(decide({ contains: 'atlas' }, ['atlas\u001b']))
    expect(question).toMatch(/did you mean "atlas(\\u001b|\?)"\?$/)
  })
})

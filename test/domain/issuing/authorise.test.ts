import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { z } from 'zod'
import {
  RULE_OPERATIONS,
  rulesSettings,
  unknownRuleProviders,
} from '../../../src/config/rules-schema.ts'
import { authorise, requireAuthorised } from '../../../src/domain/issuing/authorise.ts'
import { findClaim } from '../../../src/tokens/claim-values.ts'

type RulesInput = z.input<typeof rulesSettings>
type Condition = NonNullable<RulesInput['allow']>[number]['claims'][string]

const decide = (rules: RulesInput, claims: Record<string, unknown>, providerId = 'iam') =>
  authorise(rulesSettings.parse(rules), { providerId, claims })
const rule = (key: string, condition: Condition, provider = 'any') => ({
  provider,
  claims: { [key]: condition },
})

describe('one condition', () => {
  test.for<{ condition: Condition; value: unknown; allowed: boolean; forbidden: boolean }>([
    { condition: { contains: 'cms' }, value: ['cms', 'x'], allowed: true, forbidden: true },
    { condition: { contains: 'cms' }, value: ['cms/production'], allowed: false, forbidden: false },
    { condition: { contains: 'cms' }, value: 'the cms group', allowed: true, forbidden: true },
    { condition: { contains: 'cms' }, value: 'atlas', allowed: false, forbidden: false },
    // a word of a text, never a part of one
    { condition: { contains: 'compute' }, value: 'openid compute', allowed: true, forbidden: true },
    {
      condition: { contains: 'compute' },
      value: 'nocompute.create',
      allowed: false,
      forbidden: false,
    },
    { condition: { contains: 'cms' }, value: 'cms,atlas', allowed: false, forbidden: false },
    { condition: { contains: 'a b' }, value: ['a b'], allowed: true, forbidden: true },
    { condition: { contains: 'a b' }, value: 'x a b', allowed: false, forbidden: false },
    { condition: { contains: 'cms' }, value: 'x\tcms', allowed: false, forbidden: false },
    { condition: { contains: 'cms' }, value: '', allowed: false, forbidden: false },
    { condition: { contains: 'cms' }, value: { cms: true }, allowed: false, forbidden: true },
    {
      condition: { contains_substring: 'compute' },
      value: 'nocompute.create',
      allowed: true,
      forbidden: true,
    },
    {
      condition: { contains_substring: 'cms' },
      value: ['cms/production'],
      allowed: false,
      forbidden: false,
    },
    { condition: { contains_substring: 'cms' }, value: 7, allowed: false, forbidden: true },
    { condition: { contains: '1' }, value: [1], allowed: false, forbidden: false },
    { condition: { is_member_of: ['a', 'b'] }, value: 'b', allowed: true, forbidden: true },
    { condition: { is_member_of: 'a, b' }, value: 'b', allowed: true, forbidden: true },
    { condition: { is_member_of: ['a,b'] }, value: 'b', allowed: false, forbidden: false },
    { condition: { is_member_of: ['a'] }, value: ['a'], allowed: false, forbidden: false },
    { condition: { equals: 'a' }, value: 'a', allowed: true, forbidden: true },
    { condition: { equals: true }, value: 'true', allowed: false, forbidden: false },
    { condition: { equals: 1 }, value: 1, allowed: true, forbidden: true },
    { condition: { regexp: 'cms' }, value: 'x-cms-y', allowed: true, forbidden: true },
    { condition: { regexp: '^cms$' }, value: 'x-cms', allowed: false, forbidden: false },
    { condition: { any: true }, value: 0, allowed: true, forbidden: true },
    { condition: { any: false }, value: 0, allowed: false, forbidden: false },
    // all operations of a condition must hold
    { condition: { contains: 'a', regexp: 'b$' }, value: 'a b', allowed: true, forbidden: true },
    { condition: { contains: 'a', regexp: 'b$' }, value: 'b a', allowed: false, forbidden: false },
    // a missing claim: allow is false, forbid is true
    { condition: { any: true }, value: undefined, allowed: false, forbidden: true },
    { condition: { any: false }, value: undefined, allowed: false, forbidden: true },
    { condition: { contains: 'cms' }, value: undefined, allowed: false, forbidden: true },
    { condition: { equals: 'x' }, value: null, allowed: false, forbidden: true },
    // what cannot be evaluated lets nobody in
    { condition: { contains: 'cms' }, value: 7, allowed: false, forbidden: true },
    { condition: { regexp: 'cms' }, value: ['cms'], allowed: false, forbidden: true },
    { condition: { regexp: 'a' }, value: 'a'.repeat(1025), allowed: false, forbidden: true },
    {
      condition: { regexp: '(a+)+$' },
      value: `${'a'.repeat(40)}!`,
      allowed: false,
      forbidden: false,
    },
  ])('$condition on $value', ({ condition, value, allowed, forbidden }) => {
    const claims = { sub: 'u', key: value }
    expect(decide({ allow: [rule('key', condition)] }, claims).allowed).toBe(allowed)
    const everybody = rule('sub', { any: true })
    const decision = decide({ allow: [everybody], forbid: [rule('key', condition)] }, claims)
    expect(decision.allowed).toBe(!forbidden)
  })
})

/** Allow and forbid rules as WaTTS decided on them, row by row. */
describe('the operations of WaTTS', () => {
  const wide = { equals: 'u' }
  test.for<{ row: string; condition: Condition; value?: unknown; holds: boolean }>([
    {
      row: 'contains_substring: member of a list',
      condition: { contains_substring: 'b' },
      value: ['a', 'b'],
      holds: true,
    },
    {
      row: 'contains_substring: no part of a member',
      condition: { contains_substring: 'b' },
      value: ['ab'],
      holds: false,
    },
    {
      row: 'contains_substring: an empty list',
      condition: { contains_substring: 'b' },
      value: [],
      holds: false,
    },
    {
      row: 'contains_substring: part of a string',
      condition: { contains_substring: 'b' },
      value: 'abc',
      holds: true,
    },
    {
      row: 'contains_substring: letter case counts',
      condition: { contains_substring: 'B' },
      value: 'abc',
      holds: false,
    },
    {
      row: 'is_member_of: of the commas',
      condition: { is_member_of: 'a,b,c' },
      value: 'c',
      holds: true,
    },
    { row: 'is_member_of: no part', condition: { is_member_of: 'ab,c' }, value: 'a', holds: false },
    {
      row: 'is_member_of: not the line',
      condition: { is_member_of: 'a,b' },
      value: 'a,b',
      holds: false,
    },
    {
      row: 'is_member_of: a list is none',
      condition: { is_member_of: 'a,b' },
      value: ['a'],
      holds: false,
    },
    { row: 'equals: text', condition: { equals: 'a' }, value: 'a', holds: true },
    { row: 'equals: not a part', condition: { equals: 'a' }, value: 'ab', holds: false },
    { row: 'equals: text is no boolean', condition: { equals: 'true' }, value: true, holds: false },
    { row: 'equals: a list is no text', condition: { equals: 'a' }, value: ['a'], holds: false },
    { row: 'regexp: anywhere', condition: { regexp: 'b+' }, value: 'abbc', holds: true },
    { row: 'regexp: anchored', condition: { regexp: '^b' }, value: 'ab', holds: false },
    { row: 'regexp: an alternative', condition: { regexp: '^(a|b)$' }, value: 'b', holds: true },
    { row: 'any true: there', condition: { any: true }, value: false, holds: true },
    { row: 'any true: even empty', condition: { any: true }, value: '', holds: true },
    { row: 'any false: there', condition: { any: false }, value: 'x', holds: false },
  ])('$row', ({ condition, value, holds }) => {
    for (const provider of ['any', 'iam']) {
      const claims = { sub: 'u', key: value }
      expect(decide({ allow: [rule('key', condition, provider)] }, claims).allowed).toBe(holds)
      const forbidding = { allow: [rule('sub', wide)], forbid: [rule('key', condition, provider)] }
      expect(decide(forbidding, claims).allowed).toBe(!holds)
    }
    // Of another provider: neither lets in nor keeps out.
    expect(decide({ allow: [rule('key', condition, 'else')] }, { key: value }).allowed).toBe(false)
    const elsewhere = { allow: [rule('sub', wide)], forbid: [rule('key', condition, 'else')] }
    expect(decide(elsewhere, { sub: 'u', key: value }).allowed).toBe(true)
  })

  test.for(RULE_OPERATIONS)(
    '%s on a claim that is missing: allow false, forbid true',
    (operation) => {
      const condition = { [operation]: operation === 'any' ? true : 'a' }
      expect(decide({ allow: [rule('key', condition)] }, { sub: 'u' }).allowed).toBe(false)
      const rules = { allow: [rule('sub', wide)], forbid: [rule('key', condition)] }
      expect(decide(rules, { sub: 'u' }).allowed).toBe(false)
    },
  )

  test('a rule of a relying service is for its users alone', () => {
    const rules = { allow: [rule('sub', { any: true }, 'rsp-portal')] }
    expect(rulesSettings.safeParse(rules).success).toBe(true)
    expect(decide(rules, { sub: 'u' }, 'rsp-portal').allowed).toBe(true)
    expect(decide(rules, { sub: 'u' }, 'portal').allowed).toBe(false)
    expect(decide(rules, { sub: 'u' }, 'iam').allowed).toBe(false)
  })
})

test.for([
  { condition: { contains: 'a' }, value: 7, problem: 'the claim is not a string' },
  { condition: { regexp: 'a' }, value: ['zz'], problem: 'the claim is not a string' },
  {
    condition: { regexp: 'a' },
    value: 'a'.repeat(2000),
    problem: 'the claim is too long for a regexp: at most 1024 characters are matched',
  },
])('$condition cannot be evaluated: $problem', ({ condition, value, problem }) => {
  const decision = decide({ allow: [rule('key', condition)] }, { key: value })
  expect(decision.trace[0]?.conditions[0]).toMatchObject({
    outcome: 'error',
    problem,
    value,
  })
  expect(decision.remedy).toContain(problem)
  expect(decision.reason + decision.remedy).not.toContain(String(value))
})

describe('rules together', () => {
  const cms = rule('groups', { contains: 'cms' }, 'iam')
  test.for([
    { name: 'no rule at all: nobody', rules: {}, allowed: false, reason: /no rule/ },
    {
      name: 'only forbid rules: nobody',
      rules: { forbid: [rule('groups', { contains: 'x' })] },
      allowed: false,
      reason: /no rule/,
    },
    { name: 'one allow rule', rules: { allow: [cms] }, allowed: true, reason: /allow rule 0/ },
    {
      name: 'the second allow rule',
      rules: { allow: [rule('groups', { contains: 'x' }), cms] },
      allowed: true,
      reason: /allow rule 1/,
    },
    {
      name: 'forbid wins',
      rules: { allow: [cms], forbid: [rule('sub', { equals: 'u' })] },
      allowed: false,
      reason: /forbids/,
    },
    {
      name: 'a forbid rule over a claim that is missing',
      rules: { allow: [cms], forbid: [rule('banned', { equals: true })] },
      allowed: false,
      reason: /no claim banned/,
    },
    {
      name: 'a forbid rule of another provider',
      rules: { allow: [cms], forbid: [rule('banned', { equals: true }, 'other')] },
      allowed: true,
      reason: /allow rule 0/,
    },
    {
      name: 'an allow rule of another provider',
      rules: { allow: [rule('groups', { contains: 'cms' }, 'other')] },
      allowed: false,
      reason: /users of the provider iam/,
    },
    {
      name: 'an error in another allow rule',
      rules: { allow: [cms, rule('groups', { regexp: 'cms' })] },
      allowed: false,
      reason: /cannot be evaluated on the claim groups/,
    },
    {
      name: 'a rule with two claims, one false',
      rules: {
        allow: [{ provider: 'iam', claims: { groups: { contains: 'cms' }, sub: { equals: 'v' } } }],
      },
      allowed: false,
      reason: /groups, sub/,
    },
    {
      name: 'a forbid rule with two claims, one missing',
      rules: {
        allow: [cms],
        forbid: [{ provider: 'iam', claims: { banned: { equals: true }, sub: { equals: 'v' } } }],
      },
      allowed: false,
      reason: /no claim banned/,
    },
  ] satisfies { name: string; rules: RulesInput; allowed: boolean; reason: RegExp }[])(
    '$name',
    ({ rules, allowed, reason }) => {
      const decision = decide(rules, { sub: 'u', groups: ['cms'] })
      expect(decision.allowed).toBe(allowed)
      expect(decision.reason).toMatch(reason)
      expect(decision.remedy === undefined).toBe(allowed)
    },
  )

  test('the refusal names the missing claim, and the remedy the switches', () => {
    const decision = decide({ allow: [cms] }, { sub: 'u' })
    expect(decision.reason).toContain('groups')
    expect(decision.remedy).toContain('IAM_ACCESS_TOKEN_INCLUDE_AUTHN_INFO')
    expect(decision.trace).toEqual([
      {
        list: 'allow',
        index: 0,
        provider: 'iam',
        outcome: 'false',
        conditions: [
          {
            claim: 'groups',
            operation: 'contains',
            expected: 'cms',
            value: undefined,
            outcome: 'missing',
          },
        ],
      },
    ])
  })

  test('requireAuthorised lets in or throws', () => {
    const authz = rulesSettings.parse({ allow: [cms] })
    const caller = (groups: string[]) => ({ providerId: 'iam', claims: { sub: 'u', groups } })
    requireAuthorised({ authz }, caller(['cms']))
    expect(() => requireAuthorised({ authz }, caller(['x']))).toThrow(
      expect.objectContaining({ code: 'access_denied', check: 'authorisation' }),
    )
  })

  test('a regexp that would backtrack for ever has an answer', () => {
    const rules = { allow: [rule('key', { regexp: '^(a+)+$' })] }
    const [trace] = decide(rules, { key: `${'a'.repeat(1000)}!` }).trace
    expect(trace?.outcome).toBe('false')
    expect(decide(rules, { key: 'a'.repeat(1000) }).allowed).toBe(true)
  })
})

describe('claims by name and path', () => {
  const claims = {
    'wlcg.groups': ['/cms'],
    wlcg: { groups: ['wrong'] },
    realm_access: { roles: ['r'] },
    list: ['x'],
  }
  test.for([
    { name: 'wlcg.groups', value: ['/cms'] },
    { name: 'realm_access.roles', value: ['r'] },
    { name: 'list.0', value: undefined },
    { name: 'list.length', value: undefined },
    { name: 'constructor', value: undefined },
    { name: 'constructor.name', value: undefined },
    { name: '__proto__.x', value: undefined },
    { name: 'realm_access.constructor', value: undefined },
  ])('$name', ({ name, value }) => {
    expect(findClaim(claims, name)).toEqual(value)
  })
})

describe('the schema refuses', () => {
  test.for([
    {
      name: 'contains on sub',
      rules: { allow: [rule('sub', { contains: 'a' })] },
      path: ['allow', 0, 'claims', 'sub', 'contains'],
    },
    {
      name: 'contains_substring on sub',
      rules: { forbid: [rule('sub', { contains_substring: 'a' })] },
      path: ['forbid', 0, 'claims', 'sub', 'contains_substring'],
    },
    {
      name: 'an invalid regexp',
      rules: { allow: [rule('a', { regexp: '(' })] },
      path: ['allow', 0, 'claims', 'a', 'regexp'],
    },
    {
      name: 'an unknown operation',
      rules: { forbid: [rule('a', { starts_with: 'b' } as Condition)] },
      path: ['forbid', 0, 'claims', 'a'],
    },
    {
      name: 'no operation',
      rules: { forbid: [rule('a', {})] },
      path: ['forbid', 0, 'claims', 'a'],
    },
    {
      name: 'no claim',
      rules: { allow: [{ provider: 'any', claims: {} }] },
      path: ['allow', 0, 'claims'],
    },
    {
      name: 'no provider',
      rules: { allow: [{ claims: { a: { any: true } } }] },
      path: ['allow', 0, 'provider'],
    },
    { name: 'an unknown key', rules: { deny: [] }, path: [] },
  ])('$name', ({ rules, path }) => {
    const result = rulesSettings.safeParse(rules)
    expect(result.error?.issues.map((issue) => issue.path)).toEqual(expect.arrayContaining([path]))
  })

  test('a rule of a provider that is not configured is found', () => {
    const rules = rulesSettings.parse({ forbid: [rule('a', { any: true }, 'gone')] })
    expect(unknownRuleProviders(rules, ['iam'])).toEqual([
      { path: ['forbid', 0, 'provider'], provider: 'gone' },
    ])
    expect(unknownRuleProviders(rules, ['gone'])).toEqual([])
    const relying = (provider: string) =>
      unknownRuleProviders(rulesSettings.parse({ allow: [rule('a', { any: true }, provider)] }), [])
    expect(relying('rsp-portal')).toEqual([])
    for (const name of ['rsp-', 'rsp', 'rspportal', 'x-rsp-y', 'rsp-a b'])
      expect(relying(name)).toHaveLength(1)
  })
})

test('whatever the claims are, a decision is made, and only an allow rule lets in', () => {
  const rules: RulesInput = {
    allow: [rule('groups', { contains: 'cms' }), rule('sub', { regexp: '^x' })],
    forbid: [rule('groups', { contains: 'banned' })],
  }
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom('groups', 'sub', 'x'), fc.jsonValue()), (claims) => {
      const { allowed, trace } = decide(rules, claims)
      const allowing = trace.some(({ list, outcome }) => list === 'allow' && outcome === 'true')
      expect(allowed && !allowing).toBe(false)
      if (allowed) expect(trace.some(({ outcome }) => outcome === 'error')).toBe(false)
    }),
  )
})

import { z } from 'zod'
import { regexpProblem } from '../regexp/linear-regexp.ts'

/** The operations of authorisation rules, as in WaTTS. But `contains` of WaTTS is `contains_substring` here. */
export const RULE_OPERATIONS = [
  'contains',
  'contains_substring',
  'is_member_of',
  'equals',
  'regexp',
  'any',
] as const

/** One operation of a condition. */
export type RuleOperation = (typeof RULE_OPERATIONS)[number]

const text = z.string().min(1).max(1024)

const condition = z
  .strictObject({
    contains: text
      .optional()
      .describe(
        'True if the claim is a list with exactly this element, or a text with exactly this word between spaces, like `scope`. A part of a word does not match, and commas do not separate words.',
      ),
    contains_substring: text
      .optional()
      .describe(
        'The `contains` of WaTTS. True if the claim is a list with exactly this element, or a text with this anywhere in it. `compute` also matches `nocompute.create`: in an allow rule prefer `contains`, or `regexp` with anchors.',
      ),
    is_member_of: z
      .union([
        z.array(text).min(1),
        text.transform((list) => list.split(',').map((entry) => entry.trim())),
      ])
      .optional()
      .describe('True if the claim is one of these values: a list, or a string with commas.'),
    equals: z
      .union([z.string(), z.number(), z.boolean()])
      .optional()
      .describe('True if the claim is exactly this value.'),
    regexp: z
      .string()
      .min(1)
      .superRefine((source, context) => {
        const message = regexpProblem(source)
        if (message !== undefined) context.addIssue({ code: 'custom', message })
      })
      .optional()
      .describe(
        'True if this regular expression matches anywhere in the claim: anchor it with ^ and $. See **Regular expressions** above.',
      ),
    any: z
      .boolean()
      .optional()
      .describe(
        '`true`: any value of the claim matches, but it must exist. `false`: no value matches.',
      ),
  })
  .refine((operations) => Object.values(operations).some((value) => value !== undefined), {
    message: `must be one of ${RULE_OPERATIONS.join(', ')}`,
  })

const claims = z
  .record(z.string().min(1).max(256), condition)
  .refine((conditions) => Object.keys(conditions).length > 0, {
    message: 'needs at least one claim',
  })
  .superRefine((conditions, context) => {
    for (const operation of ['contains', 'contains_substring'] as const) {
      if (conditions['sub']?.[operation] === undefined) continue
      context.addIssue({
        code: 'custom',
        path: ['sub', operation],
        message:
          'must not be used for sub, because it would match every sub with this part; use equals or is_member_of',
      })
    }
  })

const rule = z.strictObject({
  provider: z.string().min(1).max(64).describe('Id of a provider, or `any`.'),
  claims: claims.describe(
    'Conditions by claim; all of them must be true. A claim inside an object is named by its path: `realm_access.roles`.',
  ),
})

/** The rules of a service: at least one allow rule must be true, and no forbid rule. */
export const rulesSettings = z.strictObject({
  allow: z
    .array(rule)
    .max(100)
    .default([])
    .describe('At least one of these must be true. Without allow rules, every user is refused.'),
  forbid: z
    .array(rule)
    .max(100)
    .default([])
    .describe('None of these may be true. A missing claim makes a forbid rule true.'),
})

/** The rules of one service. */
export type RulesSettings = z.output<typeof rulesSettings>
/** One rule: a provider and conditions on claims. */
export type RuleSettings = z.output<typeof rule>
/** The operations that one claim must satisfy. */
export type ConditionSettings = z.output<typeof condition>

/** A rule that names a provider which is not configured. */
export interface UnknownProvider {
  readonly path: readonly (string | number)[]
  readonly provider: string
}

/** Users sent by a relying service (RSP) belong to the provider `rsp-` and its id, as in WaTTS. */
const relyingServiceName = /^rsp-[A-Za-z0-9_-]{1,60}$/

/** Returns the rules whose provider is not in `known`. They could never be true, so they are a configuration error. */
export function unknownRuleProviders(
  rules: RulesSettings,
  known: readonly string[],
): readonly UnknownProvider[] {
  return (['allow', 'forbid'] as const).flatMap((list) =>
    rules[list].flatMap(({ provider }, index) =>
      provider === 'any' || known.includes(provider) || relyingServiceName.test(provider)
        ? []
        : [{ path: [list, index, 'provider'], provider }],
    ),
  )
}

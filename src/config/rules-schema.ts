import { z } from 'zod'
import { regexpProblem } from '../regexp/linear-regexp.ts'

/** The operations of authorisation rules: those of WaTTS, whose `contains` is `contains_substring` here. */
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
        'The claim is a list with exactly this element, or a text of words between spaces, like `scope`, with exactly this word. A part of a word does not count, and commas part no words.',
      ),
    contains_substring: text
      .optional()
      .describe(
        'The `contains` of WaTTS: the claim is a list with exactly this element, or a text with this anywhere in it. `compute` holds for `nocompute.create` too: in an allow rule rather use `contains`, or `regexp` with anchors.',
      ),
    is_member_of: z
      .union([
        z.array(text).min(1),
        text.transform((list) => list.split(',').map((entry) => entry.trim())),
      ])
      .optional()
      .describe('The claim is one of these: a list, or one string with commas.'),
    equals: z
      .union([z.string(), z.number(), z.boolean()])
      .optional()
      .describe('The claim is exactly this.'),
    regexp: z
      .string()
      .min(1)
      .superRefine((source, context) => {
        const message = regexpProblem(source)
        if (message !== undefined) context.addIssue({ code: 'custom', message })
      })
      .optional()
      .describe(
        'The claim matches this regular expression somewhere: anchor it with ^ and $. See **Regular expressions** above.',
      ),
    any: z
      .boolean()
      .optional()
      .describe('true: whatever the claim is, as long as it is there. false: the opposite.'),
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
        message: 'would let in everybody whose sub has this as a part; use equals or is_member_of',
      })
    }
  })

const rule = z.strictObject({
  provider: z.string().min(1).max(64).describe('Id of a provider, or `any`.'),
  claims: claims.describe(
    'Conditions by claim; all of them must hold. A claim in an object is named by its path: `realm_access.roles`.',
  ),
})

/** Who may use a service: some allow rule must be true, and no forbid rule. */
export const rulesSettings = z.strictObject({
  allow: z
    .array(rule)
    .max(100)
    .default([])
    .describe('One of these must be true. Without any, nobody may use the service.'),
  forbid: z
    .array(rule)
    .max(100)
    .default([])
    .describe('None of these may be true. A claim that is missing makes a forbid rule true.'),
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

/** Users that a relying service (RSP) sends are of the provider `rsp-` and its id, as in WaTTS. */
const relyingServiceName = /^rsp-[A-Za-z0-9_-]{1,60}$/

/** The rules whose provider is not among `known`: none of them could ever hold, so they must stop the start. */
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

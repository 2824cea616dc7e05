/** Describes evaluated rules for the operator. */
import { printable } from '../base/printable.ts'
import type { Authorisation, ConditionTrace, RuleTrace } from '../domain/issuing/authorise.ts'
import { nearValue } from './near-value.ts'

/** Description of a condition. */
export interface ConditionDescription {
  readonly claim: string
  /** `contains "cms"`. */
  readonly wanted: string
  /** Value of the claim, sanitised and shortened. */
  readonly found: string
  readonly outcome: ConditionTrace['outcome']
  readonly why: string
}

/** Description of a rule. */
export interface RuleDescription {
  /** `allow rule 0`. */
  readonly rule: string
  readonly provider: string
  readonly outcome: RuleTrace['outcome']
  readonly why: string
  readonly conditions: readonly ConditionDescription[]
}

const MAX_VALUE_CHARACTERS = 120

/** Formats a value for a terminal: JSON without control and invisible characters, at most 120 characters. */
export function displayClaim(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  const clean = [...printable(text.slice(0, 4 * MAX_VALUE_CHARACTERS))]
  return clean.length <= MAX_VALUE_CHARACTERS && text.length <= 4 * MAX_VALUE_CHARACTERS
    ? clean.join('')
    : `${clean.slice(0, MAX_VALUE_CHARACTERS - 1).join('')}…`
}

/** Describes an evaluated rule. */
export function describeRule(rule: RuleTrace): RuleDescription {
  return {
    rule: nameOf(rule),
    provider: rule.provider,
    outcome: rule.outcome,
    why: explainRule(rule),
    conditions: rule.conditions.map((condition) => ({
      claim: condition.claim,
      wanted: describeRequirement(condition),
      found: condition.value === undefined ? 'no such claim' : displayClaim(condition.value),
      outcome: condition.outcome,
      why: explainCondition(condition, rule.list),
    })),
  }
}

/** Lists the changes after which a refused user would be allowed, one per line; empty when the user is allowed. */
export function neededChanges(decision: Authorisation, service: string): readonly string[] {
  if (decision.allowed) return []
  const { trace } = decision
  const failed = trace.flatMap((rule) =>
    rule.outcome === 'error'
      ? describeBlocking(rule, ['error'], 'cannot be evaluated because of')
      : [],
  )
  const forbidding = trace.flatMap((rule) =>
    rule.list === 'forbid' && rule.outcome === 'true' ? [forbidChange(rule)] : [],
  )
  const allowing = trace.some(({ list, outcome }) => list === 'allow' && outcome === 'true')
  return [...failed, ...forbidding, ...(allowing ? [] : allowChanges(trace, service))]
}

/**
 * Returns a question about each condition of an allow rule that the token nearly meets, for a user who is refused. It
 * holds values of claims: only for the operator's terminal.
 */
export function nearValueQuestions(decision: Authorisation): readonly string[] {
  if (decision.allowed) return []
  return decision.trace
    .filter(({ list, outcome }) => list === 'allow' && outcome === 'false')
    .flatMap((rule) =>
      rule.conditions.flatMap((condition) => {
        const hint = nearValueHint(condition)
        if (hint === undefined) return []
        const requirement = `${condition.claim} ${describeRequirement(condition)}`
        return [`${nameOf(rule)} says ${requirement}: ${hint}`]
      }),
    )
}

function nearValueHint(condition: ConditionTrace): string | undefined {
  const near = nearValue(condition)
  if (near === undefined) return undefined
  if (near.difference === 'whole')
    return 'the claim has more than one value: use contains, which compares each of them'
  return `did you mean ${displayClaim(near.value)}?`
}

const nameOf = ({ list, index }: RuleTrace): string => `${list} rule ${index}`

function forbidChange(rule: RuleTrace): string {
  const missing = rule.conditions.filter(({ outcome }) => outcome === 'missing')
  const describeAll = (conditions: readonly ConditionTrace[]): string =>
    conditions.map((condition) => `${condition.claim} ${describeRequirement(condition)}`).join(', ')
  return missing.length === 0
    ? `${nameOf(rule)} must not match; now all its conditions are true: ${describeAll(rule.conditions)}`
    : `${nameOf(rule)} matches as long as the claim ${missing.map(({ claim }) => claim).join(', ')} is missing`
}

function allowChanges(trace: readonly RuleTrace[], service: string): string[] {
  const tried = trace.filter(
    ({ list, outcome }) => list === 'allow' && outcome !== 'other_provider',
  )
  if (tried.length === 0)
    return [`services.${service}.authz.allow needs a rule for this provider or for any provider`]
  const untrue = tried.filter(({ outcome }) => outcome === 'false')
  return untrue.flatMap((rule) =>
    describeBlocking(rule, ['false', 'missing'], 'would allow the user if'),
  )
}

/** Returns one line with the conditions of a rule that have one of these outcomes. */
function describeBlocking(
  rule: RuleTrace,
  outcomes: readonly ConditionTrace['outcome'][],
  words: string,
): string[] {
  const descriptions = rule.conditions
    .filter(({ outcome }) => outcomes.includes(outcome))
    .map((condition) => {
      const value = condition.value === undefined ? 'missing' : displayClaim(condition.value)
      const problem = condition.problem === undefined ? '' : `, ${condition.problem}`
      const near = rule.list === 'allow' ? nearValueHint(condition) : undefined
      const hint = near === undefined ? '' : `; ${near}`
      return `${condition.claim} ${describeRequirement(condition)} (now ${value}${problem}${hint})`
    })
  return [`${nameOf(rule)} ${words} ${descriptions.join(' and ')}`]
}

function describeRequirement({ operation, expected }: ConditionTrace): string {
  const value = displayClaim(expected)
  switch (operation) {
    case 'contains':
      return `contains ${value}`
    case 'contains_substring':
      return `contains the substring ${value}`
    case 'is_member_of':
      return `is one of ${value}`
    case 'equals':
      return `equals ${value}`
    case 'regexp':
      return `matches ${displayClaim(`/${String(expected)}/`).slice(1, -1)}`
    case 'any':
      return expected === true ? 'exists, with any value' : 'is never true (any: false)'
    default:
      return operation satisfies never
  }
}

function explainRule({ list, outcome, provider, conditions }: RuleTrace): string {
  switch (outcome) {
    case 'other_provider':
      return `applies only to users of the provider ${provider}`
    case 'error':
      return 'cannot be evaluated, so every user is refused'
    case 'true':
      return list === 'forbid' && conditions.some((one) => one.outcome === 'missing')
        ? 'a claim is missing, which makes a forbid rule true'
        : 'all its conditions are true'
    case 'false':
      return conditions.some((one) => one.outcome === 'missing')
        ? 'a claim is missing, which makes an allow rule false'
        : 'a condition is false'
    default:
      return outcome satisfies never
  }
}

function explainCondition(condition: ConditionTrace, list: RuleTrace['list']): string {
  const { outcome, problem } = condition
  switch (outcome) {
    case 'true':
      return 'matches'
    case 'false': {
      const hint = list === 'allow' ? nearValueHint(condition) : undefined
      return hint === undefined ? 'does not match' : `does not match; ${hint}`
    }
    case 'missing':
      return `a missing claim makes ${list === 'allow' ? 'an allow rule false' : 'a forbid rule true'}`
    case 'error':
      return problem ?? 'cannot be evaluated'
    default:
      return outcome satisfies never
  }
}

/** Rules and what became of them, in words for the operator. */
import type { Authorisation, ConditionTrace, RuleTrace } from '../domain/issuing/authorise.ts'

/** One condition, in words. */
export interface ConditionWords {
  readonly claim: string
  /** `contains "cms"`. */
  readonly wanted: string
  /** The value of the claim, cleaned and shortened. */
  readonly found: string
  readonly outcome: ConditionTrace['outcome']
  readonly why: string
}

/** One rule, in words. */
export interface RuleWords {
  /** `allow rule 0`. */
  readonly rule: string
  readonly provider: string
  readonly outcome: RuleTrace['outcome']
  readonly why: string
  readonly conditions: readonly ConditionWords[]
}

const MAX_VALUE_CHARACTERS = 120

/** A value for a terminal: JSON, without control and invisible characters, at most 120 characters. */
export function shownClaim(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  const clean = [...text.slice(0, 4 * MAX_VALUE_CHARACTERS).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?')]
  return clean.length <= MAX_VALUE_CHARACTERS && text.length <= 4 * MAX_VALUE_CHARACTERS
    ? clean.join('')
    : `${clean.slice(0, MAX_VALUE_CHARACTERS - 1).join('')}…`
}

/** A rule as evaluated, in words. */
export function ruleWords(rule: RuleTrace): RuleWords {
  return {
    rule: nameOf(rule),
    provider: rule.provider,
    outcome: rule.outcome,
    why: whyOfRule(rule),
    conditions: rule.conditions.map((condition) => ({
      claim: condition.claim,
      wanted: wantedWords(condition),
      found: condition.found === undefined ? 'no such claim' : shownClaim(condition.found),
      outcome: condition.outcome,
      why: whyOfCondition(condition, rule.list),
    })),
  }
}

/** What would have to change for a refused user to be let in, one thing a line; nothing when allowed. */
export function neededChanges(decision: Authorisation, service: string): readonly string[] {
  if (decision.allowed) return []
  const { trace } = decision
  const failed = trace.flatMap((rule) =>
    rule.outcome === 'error' ? unlike(rule, ['error'], 'could be evaluated, were it not for') : [],
  )
  const forbidding = trace.flatMap((rule) =>
    rule.list === 'forbid' && rule.outcome === 'true' ? [undoForbid(rule)] : [],
  )
  const allowing = trace.some(({ list, outcome }) => list === 'allow' && outcome === 'true')
  return [...failed, ...forbidding, ...(allowing ? [] : letIn(trace, service))]
}

const nameOf = ({ list, index }: RuleTrace): string => `${list} rule ${index}`

function undoForbid(rule: RuleTrace): string {
  const missing = rule.conditions.filter(({ outcome }) => outcome === 'missing')
  const named = (conditions: readonly ConditionTrace[]): string =>
    conditions.map((condition) => `${condition.claim} ${wantedWords(condition)}`).join(', ')
  return missing.length === 0
    ? `${nameOf(rule)} must not hold; now all of it does: ${named(rule.conditions)}`
    : `${nameOf(rule)} holds as long as there is no claim ${missing.map(({ claim }) => claim).join(', ')}`
}

function letIn(trace: readonly RuleTrace[], service: string): string[] {
  const tried = trace.filter(
    ({ list, outcome }) => list === 'allow' && outcome !== 'other_provider',
  )
  if (tried.length === 0)
    return [`an allow rule for this provider (or any) is needed in services.${service}.authz.allow`]
  const untrue = tried.filter(({ outcome }) => outcome === 'false')
  return untrue.flatMap((rule) => unlike(rule, ['false', 'missing'], 'would let the user in if'))
}

/** One line on a rule: those of its conditions that stand in the way. */
function unlike(
  rule: RuleTrace,
  outcomes: readonly ConditionTrace['outcome'][],
  words: string,
): string[] {
  const ways = rule.conditions
    .filter(({ outcome }) => outcomes.includes(outcome))
    .map((condition) => {
      const found = condition.found === undefined ? 'missing' : shownClaim(condition.found)
      const problem = condition.problem === undefined ? '' : `, ${condition.problem}`
      return `${condition.claim} ${wantedWords(condition)} (now ${found}${problem})`
    })
  return [`${nameOf(rule)} ${words} ${ways.join(' and ')}`]
}

function wantedWords({ operation, wanted }: ConditionTrace): string {
  const value = shownClaim(wanted)
  switch (operation) {
    case 'contains':
      return `contains ${value}`
    case 'contains_substring':
      return `contains ${value}, also inside a word`
    case 'is_member_of':
      return `is one of ${value}`
    case 'equals':
      return `equals ${value}`
    case 'regexp':
      return `matches ${shownClaim(`/${String(wanted)}/`).slice(1, -1)}`
    case 'any':
      return wanted === true ? 'is there, whatever it is' : 'holds never (any: false)'
    default:
      return operation satisfies never
  }
}

function whyOfRule({ list, outcome, provider, conditions }: RuleTrace): string {
  switch (outcome) {
    case 'other_provider':
      return `is for users of the provider ${provider}`
    case 'error':
      return 'cannot be evaluated, so nobody is let in'
    case 'true':
      return list === 'forbid' && conditions.some((one) => one.outcome === 'missing')
        ? 'a claim is missing, which makes a forbid rule true'
        : 'all its conditions hold'
    case 'false':
      return conditions.some((one) => one.outcome === 'missing')
        ? 'a claim is missing, which makes an allow rule false'
        : 'a condition does not hold'
    default:
      return outcome satisfies never
  }
}

function whyOfCondition({ outcome, problem }: ConditionTrace, list: RuleTrace['list']): string {
  switch (outcome) {
    case 'true':
      return 'holds'
    case 'false':
      return 'does not hold'
    case 'missing':
      return `no such claim: makes ${list === 'allow' ? 'an allow rule false' : 'a forbid rule true'}`
    case 'error':
      return problem ?? 'cannot be evaluated'
    default:
      return outcome satisfies never
  }
}

import type {
  ConditionSettings,
  RuleOperation,
  RuleSettings,
  RulesSettings,
} from '../../config/rules-schema.ts'
import { TtsError } from '../../base/errors.ts'
import { matchesRegexp } from '../../regexp/linear-regexp.ts'
import { adviceOn } from '../../tokens/advice.ts'
import { findClaim, hasWord } from '../../tokens/claim-values.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'

/**
 * The result of one condition of a rule. Holds the value of a claim, so it may go to the operator's terminal but
 * never to a log.
 */
export interface ConditionTrace {
  readonly claim: string
  readonly operation: RuleOperation
  /** The configured value that the rule compares with. */
  readonly expected: unknown
  /** The value of the claim; undefined when the claim is missing. */
  readonly value: unknown
  readonly outcome: 'true' | 'false' | 'missing' | 'error'
  /** Why the condition could not be evaluated (outcome `error`). */
  readonly problem?: string
}

/** The result of one rule. */
export interface RuleTrace {
  readonly list: 'allow' | 'forbid'
  readonly index: number
  readonly provider: string
  readonly outcome: 'true' | 'false' | 'other_provider' | 'error'
  readonly conditions: readonly ConditionTrace[]
}

/** Whether a user may use a service, and why. */
export interface Authorisation {
  readonly allowed: boolean
  /** Index of the deciding rule in its list; undefined when no rule decided. */
  readonly rule: number | undefined
  /** For the caller. Names claims from the configuration, never their values. */
  readonly reason: string
  /** For the operator, when access is refused. */
  readonly remedy: string | undefined
  readonly trace: readonly RuleTrace[]
}

type Subject = Pick<VerifiedToken, 'providerId' | 'claims'> &
  Partial<Pick<VerifiedToken, 'profile' | 'otherProviderIds'>>

/**
 * Evaluates the rules like WaTTS. A user is allowed when at least one allow rule is true and no forbid rule is. A
 * missing claim makes an allow rule false and a forbid rule true. A rule that cannot be evaluated refuses everybody.
 */
export function authorise(rules: RulesSettings, token: Subject): Authorisation {
  const allow = rules.allow.map((rule, index) => evaluate({ list: 'allow', index, rule }, token))
  const forbid = rules.forbid.map((rule, index) => evaluate({ list: 'forbid', index, rule }, token))
  const trace = [...allow, ...forbid]
  const failed = trace.find(({ outcome }) => outcome === 'error')
  if (failed !== undefined) return { ...refusedByError(failed), trace }
  const forbidden = forbid.find(({ outcome }) => outcome === 'true')
  if (forbidden !== undefined) return { ...refusedByRule(forbidden, token), trace }
  const allowing = allow.find(({ outcome }) => outcome === 'true')
  if (allowing !== undefined) {
    const reason = `allow rule ${allowing.index} allows the user`
    return { allowed: true, rule: allowing.index, reason, remedy: undefined, trace }
  }
  return { ...refusedByDefault(allow, token), trace }
}

/** @throws {TtsError} `access_denied`, check `authorisation` (the rules of the service refuse the token) */
export function requireAuthorised(
  service: { readonly authz: RulesSettings },
  token: Subject,
): void {
  const { allowed, reason, remedy } = authorise(service.authz, token)
  if (allowed) return
  throw new TtsError('access_denied', reason, {
    check: 'authorisation',
    ...(remedy !== undefined && { remedy }),
  })
}

interface PlacedRule {
  readonly list: 'allow' | 'forbid'
  readonly index: number
  readonly rule: RuleSettings
}

function evaluate({ list, index, rule }: PlacedRule, token: Subject): RuleTrace {
  const { provider } = rule
  const place = { list, index, provider }
  const { providerId, otherProviderIds = [] } = token
  if (!['any', providerId, ...otherProviderIds].includes(provider)) {
    return { ...place, outcome: 'other_provider', conditions: [] }
  }
  const conditions = Object.entries(rule.claims).flatMap(([claim, condition]) =>
    evaluateCondition(claim, condition, token.claims),
  )
  const hasOutcome = (outcome: ConditionTrace['outcome']): boolean =>
    conditions.some((condition) => condition.outcome === outcome)
  if (hasOutcome('error')) return { ...place, outcome: 'error', conditions }
  const holds = hasOutcome('missing') ? list === 'forbid' : !hasOutcome('false')
  return { ...place, outcome: holds ? 'true' : 'false', conditions }
}

function evaluateCondition(
  claim: string,
  condition: ConditionSettings,
  claims: VerifiedToken['claims'],
): ConditionTrace[] {
  const value = findClaim(claims, claim)
  const operations = Object.keys(condition).filter(
    (name): name is RuleOperation => condition[name as RuleOperation] !== undefined,
  )
  return operations.map((operation) => ({
    claim,
    operation,
    expected: condition[operation],
    value,
    ...(value === undefined ? missing : outcomeOf(operation, condition, value)),
  }))
}

const missing = { outcome: 'missing' } as const

function outcomeOf(
  operation: RuleOperation,
  condition: ConditionSettings,
  value: unknown,
): Pick<ConditionTrace, 'outcome' | 'problem'> {
  try {
    return { outcome: perform(operation, condition, value) ? 'true' : 'false' }
  } catch (error) {
    const problem = error instanceof Error ? error.message : 'unknown error'
    return { outcome: 'error', problem }
  }
}

function perform(operation: RuleOperation, condition: ConditionSettings, value: unknown): boolean {
  switch (operation) {
    case 'contains':
      return hasWord(Array.isArray(value) ? value : asString(value), asString(condition.contains))
    case 'contains_substring': {
      const part = asString(condition.contains_substring)
      return Array.isArray(value) ? value.includes(part) : asString(value).includes(part)
    }
    case 'is_member_of':
      return typeof value === 'string' && condition.is_member_of?.includes(value) === true
    case 'equals':
      return value === condition.equals
    case 'regexp':
      return matchesRegexp(asString(condition.regexp), asString(value))
    case 'any':
      return condition.any === true
    default:
      return operation satisfies never
  }
}

function asString(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('the claim is not a string')
  return value
}

type Refusal = Omit<Authorisation, 'trace'>

function refusedByError({ list, index, conditions }: RuleTrace): Refusal {
  const failed = conditions.find(({ outcome }) => outcome === 'error')
  const claim = failed?.claim ?? ''
  return {
    allowed: false,
    rule: index,
    reason: `a rule of this service cannot be evaluated on the claim ${claim} of the token`,
    remedy: `Change the rule, or the claim at the provider: ${list} rule ${index}, ${claim} ${failed?.operation}: ${failed?.problem}.`,
  }
}

function refusedByRule({ index, conditions }: RuleTrace, token: Subject): Refusal {
  const missing = conditions.find(({ outcome }) => outcome === 'missing')
  return {
    allowed: false,
    rule: index,
    reason:
      missing === undefined
        ? 'a rule of this service forbids this user'
        : `the token has no claim ${missing.claim}, which a forbid rule of this service needs`,
    remedy:
      missing === undefined
        ? `Change forbid rule ${index}, which is true for this user, if the user should have access.`
        : `Make the provider send the claim: forbid rule ${index} is true while it is missing. ${howToGet(missing.claim, token)}`,
  }
}

function refusedByDefault(allow: readonly RuleTrace[], token: Subject): Refusal {
  const { providerId, profile = 'generic' } = token
  const tried = allow.filter(({ outcome }) => outcome !== 'other_provider')
  const conditions = tried.flatMap((rule) => rule.conditions)
  const missing = conditions.find(({ outcome }) => outcome === 'missing')?.claim
  const checked = [...new Set(conditions.map(({ claim }) => claim))].join(', ')
  const base = { allowed: false, rule: undefined }
  if (tried.length === 0) {
    return {
      ...base,
      reason: `no rule of this service allows users of the provider ${providerId}`,
      remedy: `Add an allow rule for the provider ${providerId} (or any).`,
    }
  }
  if (missing !== undefined) {
    return {
      ...base,
      reason: `the token has no claim ${missing}, which the allow rules of this service need`,
      remedy: howToGet(missing, token),
    }
  }
  const readsGroups = conditions.some(({ claim }) => claim === 'groups')
  const hint = readsGroups ? adviceOn('other_groups', profile) : ''
  return {
    ...base,
    reason: `no rule of this service allows this user (claims checked: ${checked})`,
    remedy:
      `Change the allow rules, or the user's values of ${checked} at the provider. ${hint}`.trimEnd(),
  }
}

function howToGet(claim: string, { profile = 'generic' }: Subject): string {
  return adviceOn('missing_claim', profile, { claim })
}

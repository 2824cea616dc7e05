/** Explains to a user why a service is available or not. */
import {
  type Authorisation,
  authorise,
  type ConditionTrace,
  type RuleTrace,
} from '../../domain/issuing/authorise.ts'
import type { Service } from '../../domain/issuing/service.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'
import { html, type Html } from '../html/html.ts'
import { contactLink } from './words.ts'

export interface Availability {
  readonly usable: boolean
  /** One clause without a full stop; undefined when the service is usable. */
  readonly reason: string | undefined
  /** The unmet conditions of the rules. */
  readonly details: readonly string[]
}

/** Returns whether a user can use a service with this token. */
export function availabilityOf(service: Service, token: VerifiedToken): Availability {
  const decision = authorise(service.authz, token)
  if (!decision.allowed)
    return { usable: false, reason: decision.reason, details: detailsOf(decision) }
  if (!service.enabled) {
    const problem = service.plugin.problem?.reason
    const reason = `the service is disabled${problem === undefined ? '' : `: ${problem}`}`
    return { usable: false, reason, details: [] }
  }
  return { usable: true, reason: undefined, details: [] }
}

/**
 * Claims about membership, whose required value may be shown. The required value of any other claim may be a person's
 * name or address.
 */
const SHOWN_CLAIMS: ReadonlySet<string> = new Set([
  'groups',
  'wlcg.groups',
  'roles',
  'realm_access.roles',
  'eduperson_entitlement',
  'entitlements',
  'scope',
  'iss',
  'organisation_name',
])

function detailsOf({ trace }: Authorisation): string[] {
  return trace
    .filter(({ list, outcome }) => list === 'allow' && outcome === 'false')
    .map((rule) => unmetRule(rule))
    .filter((text) => text !== '')
}

function unmetRule(rule: RuleTrace): string {
  return rule.conditions
    .filter(({ outcome }) => outcome === 'false' || outcome === 'missing')
    .map(unmetCondition)
    .join('; and ')
}

function unmetCondition(condition: ConditionTrace): string {
  const { claim, value } = condition
  const own = value === undefined ? 'your token does not have it' : `yours: ${displayValue(value)}`
  return `${claim} ${SHOWN_CLAIMS.has(claim) ? requirement(condition) : 'must have a value that is not shown'} (${own})`
}

function requirement({ operation, expected }: ConditionTrace): string {
  switch (operation) {
    case 'contains':
    case 'contains_substring':
      return `must contain ${displayValue(expected)}`
    case 'is_member_of':
      return `must be one of ${displayValue(expected)}`
    case 'equals':
      return `must be ${displayValue(expected)}`
    case 'regexp':
      return `must match ${displayValue(expected)}`
    case 'any':
      return 'must exist'
    default:
      return operation satisfies never
  }
}

const MAX_VALUE = 160

function displayValue(value: unknown): string {
  const parts: readonly unknown[] = Array.isArray(value) ? value : [value]
  const text = parts
    .map((part) => (typeof part === 'string' ? part : JSON.stringify(part)))
    .join(', ')
  if (text === '') return 'nothing'
  return text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text
}

/** Renders the reason why a service is not available. */
export function renderUnavailable(
  { reason, details }: Availability,
  tooltip: string | undefined,
  contact: string | undefined,
): Html {
  return html`<p>You cannot use this service: <bdi>${reason}</bdi>.</p>
    ${
      details.length > 0 &&
      html`<p>Your token must meet one of these conditions:</p>
        <ul>
          ${details.map((text) => html`<li><bdi>${text}</bdi></li>`)}
        </ul>`
    }
    ${tooltip !== undefined && html`<p><bdi>${tooltip}</bdi></p>`}
    ${contact !== undefined && html`<p>Questions: ${contactLink(contact)}</p>`}`
}

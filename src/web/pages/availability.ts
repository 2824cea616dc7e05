/** Why somebody may use a service or may not, in words for that person. */
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
  /** One sentence; undefined when it is usable. */
  readonly reason: string | undefined
  /** What the rules looked at. */
  readonly details: readonly string[]
}

/** Whether a service can be used with this token. */
export function availabilityOf(service: Service, token: VerifiedToken): Availability {
  const decision = authorise(service.authz, token)
  if (!decision.allowed)
    return { usable: false, reason: decision.reason, details: detailsOf(decision) }
  if (!service.enabled) {
    const problem = service.plugin.problem?.reason
    const reason = `the service is switched off${problem === undefined ? '' : `: ${problem}`}`
    return { usable: false, reason, details: [] }
  }
  return { usable: true, reason: undefined, details: [] }
}

/** Claims that tell what somebody belongs to. Of all others the wanted value may be somebody's name or address. */
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
  const { claim, found } = condition
  const own = found === undefined ? 'your token has no such claim' : `yours: ${shown(found)}`
  return `${claim} ${SHOWN_CLAIMS.has(claim) ? requirement(condition) : 'must have a certain value'} (${own})`
}

function requirement({ operation, wanted }: ConditionTrace): string {
  switch (operation) {
    case 'contains':
    case 'contains_substring':
      return `must contain ${shown(wanted)}`
    case 'is_member_of':
      return `must be one of ${shown(wanted)}`
    case 'equals':
      return `must be ${shown(wanted)}`
    case 'regexp':
      return `must match ${shown(wanted)}`
    case 'any':
      return 'must be there'
    default:
      return operation satisfies never
  }
}

const MAX_VALUE = 160

function shown(value: unknown): string {
  const parts: readonly unknown[] = Array.isArray(value) ? value : [value]
  const text = parts
    .map((part) => (typeof part === 'string' ? part : JSON.stringify(part)))
    .join(', ')
  if (text === '') return 'nothing'
  return text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text
}

/** Why a service is not to be had. */
export function whyNot(
  { reason, details }: Availability,
  tooltip: string | undefined,
  contact: string | undefined,
): Html {
  return html`<p>Not available to you: <bdi>${reason}</bdi>.</p>
    ${
      details.length > 0 &&
      html`<p>It lets in people of whom their provider says one of these:</p>
        <ul>
          ${details.map((text) => html`<li><bdi>${text}</bdi></li>`)}
        </ul>`
    }
    ${tooltip !== undefined && html`<p><bdi>${tooltip}</bdi></p>`}
    ${contact !== undefined && html`<p>You can ask: ${contactLink(contact)}</p>`}`
}

/** Converts the authorisation rules of a WaTTS service. The result must never allow a user whom WaTTS refused. */
import type { RuleOperation } from '../config/rules-schema.ts'
import type { Tree } from '../config/settings-tree.ts'
import type { ConfSetting } from './conf-lines.ts'
import { regexpFromPcre } from './pcre.ts'
import type { Reading } from './reading.ts'

/** The converted rules of a service. */
export interface ImportedRules {
  readonly allow: readonly Tree[]
  readonly forbid: readonly Tree[]
  /** True if a forbid rule could not be converted: the service must then stay disabled. */
  readonly mustStayClosed: boolean
}

/** Ids that rules may use: new ids of providers by their old ones, and ids of relying services (`rsp-…`). */
export interface RuleProviders {
  readonly providers: ReadonlyMap<string, string>
  readonly relyingServices: readonly string[]
}

interface WattsRule {
  readonly setting: ConfSetting
  readonly number: number
  readonly provider: string
  readonly claim: string
  readonly operation: string
}

/** Converts the rules of the service `id`. */
export function importRules(reading: Reading, id: string, known: RuleProviders): ImportedRules {
  const lists = (['allow', 'forbid'] as const).map((list) => {
    const settings = reading.under('service', id, 'authz', list)
    const parsed = settings.flatMap(parseRule).sort((one, other) => one.number - other.number)
    const rules = parsed.map((rule) => importRule(rule, list, { reading, known, service: id }))
    return { list, rules, lost: parsed.length < settings.length }
  })
  const rulesOf = (name: string): readonly (Tree | undefined)[] =>
    lists.find(({ list }) => list === name)?.rules ?? []
  const carried = (name: string): readonly Tree[] =>
    rulesOf(name).filter((rule) => rule !== undefined)
  return {
    allow: carried('allow'),
    forbid: carried('forbid'),
    mustStayClosed:
      reading.lostForbidRule ||
      lists.some(({ list, lost }) => list === 'forbid' && lost) ||
      rulesOf('forbid').some((rule) => rule === undefined),
  }
}

/**
 * Parses `service.ID.authz.allow.[N.]PROVIDER.CLAIM.OPERATION`. Any other key is not a rule, and is reported as
 * unknown.
 */
function parseRule(setting: ConfSetting): WattsRule[] {
  const rest = setting.words.slice(4)
  const numbered = rest.length === 4 && /^\d{1,9}$/.test(rest[0] ?? '')
  const [provider, claim, operation, ...more] = numbered ? rest.slice(1) : rest
  if (provider === undefined || claim === undefined || operation === undefined || more.length > 0)
    return []
  const number = numbered ? Number(rest[0]) : setting.line
  return [{ setting, number, provider, claim, operation }]
}

interface RuleContext {
  readonly reading: Reading
  readonly known: RuleProviders
  readonly service: string
}

function importRule(
  rule: WattsRule,
  list: 'allow' | 'forbid',
  { reading, known, service }: RuleContext,
): Tree | undefined {
  const { setting, claim } = rule
  const to = `services.${service}.authz.${list}`
  const provider = providerOf(rule.provider, known)
  const condition =
    provider === undefined ? `the provider ${rule.provider} is not configured` : conditionOf(rule)
  if (typeof condition === 'string') {
    const effect =
      list === 'allow'
        ? 'it allows nobody'
        : 'the service is disabled until you write the rule again'
    reading.problem(setting, `${condition}; the rule is omitted: ${effect}`)
    return undefined
  }
  if (condition.note === undefined) reading.carried(setting, to)
  else reading.changed(setting, to, condition.note)
  const operation = condition.operation ?? rule.operation
  return { provider, claims: { [claim]: { [operation]: condition.value } } }
}

function providerOf(id: string, { providers, relyingServices }: RuleProviders): string | undefined {
  if (id === 'any') return id
  return id.startsWith('rsp-') && relyingServices.includes(id.slice(4)) ? id : providers.get(id)
}

/** The converted value. */
interface Condition {
  readonly value: unknown
  /** Set if the operation has another name here. */
  readonly operation?: RuleOperation
  readonly note?: string
}

function conditionOf({ setting: { value }, claim, operation }: WattsRule): Condition | string {
  if (claim.length > 256 || value.length > 1024) return 'it is too long'
  if (!isOperation(operation)) return `the operation ${operation} does not exist`
  switch (operation) {
    case 'contains':
      return claim === 'sub'
        ? 'contains on sub is not allowed, because it matches every sub with this part (use equals or is_member_of)'
        : { value, operation: 'contains_substring', note: CONTAINS_NOTE }
    case 'is_member_of':
      return memberList(value)
    case 'equals':
      return /^(true|false|[\d.]+)$/.test(value)
        ? {
            value,
            note: 'compared as text, as in WaTTS: it never equals a claim that is a number or a boolean',
          }
        : { value }
    case 'regexp':
      return regexp(value)
    case 'any':
      return value === 'true' || value === 'false'
        ? { value: value === 'true' }
        : { value: false, note: 'in WaTTS, any value other than true was false' }
    default:
      return operation satisfies never
  }
}

function memberList(value: string): Condition | string {
  const members = value.split(',')
  const nonEmpty = members.filter((member) => member !== '')
  if (nonEmpty.length === 0) return 'its list is empty'
  return nonEmpty.some((member) => member.trim() !== member)
    ? { value: nonEmpty, note: 'spaces next to the commas belong to the members, as in WaTTS' }
    : { value: nonEmpty }
}

function regexp(value: string): Condition | string {
  const carried = regexpFromPcre(value)
  if ('problem' in carried) return `the regexp cannot be converted: ${carried.problem}`
  return carried.source === value
    ? { value }
    : { value: carried.source, note: `rewritten for JavaScript: ${carried.source}` }
}

const CONTAINS_NOTE =
  'converted to contains_substring, which decides like WaTTS: in a text claim it matches any part, also inside a word. Use contains to match only a whole element or word'

const WATTS_OPERATIONS = ['contains', 'is_member_of', 'equals', 'regexp', 'any'] as const

const isOperation = (name: string): name is (typeof WATTS_OPERATIONS)[number] =>
  (WATTS_OPERATIONS as readonly string[]).includes(name)

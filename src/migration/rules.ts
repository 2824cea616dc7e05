/** Authorisation rules of one WaTTS service as rules of ours. Never lets in anybody whom WaTTS kept out. */
import type { RuleOperation } from '../config/rules-schema.ts'
import type { Tree } from '../config/settings-tree.ts'
import type { ConfSetting } from './conf-lines.ts'
import { regexpFromPcre } from './pcre.ts'
import type { Reading } from './reading.ts'

/** Rules of one service in our words. */
export interface ImportedRules {
  readonly allow: readonly Tree[]
  readonly forbid: readonly Tree[]
  /** True: a forbid rule could not be carried over, so that the service must stay closed. */
  readonly mustStayClosed: boolean
}

/** Ids in rules: of providers, as they are called now, and of relying services (`rsp-…`). */
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

/** Carries over the rules of the service `id`. */
export function importRules(reading: Reading, id: string, known: RuleProviders): ImportedRules {
  const lists = (['allow', 'forbid'] as const).map((list) => {
    const settings = reading.under('service', id, 'authz', list)
    const found = settings.flatMap(ruleOf).sort((one, other) => one.number - other.number)
    const rules = found.map((rule) => importRule(rule, list, { reading, known, service: id }))
    return { list, rules, lost: found.length < settings.length }
  })
  const of = (wanted: string): readonly (Tree | undefined)[] =>
    lists.find(({ list }) => list === wanted)?.rules ?? []
  const carried = (wanted: string): readonly Tree[] =>
    of(wanted).filter((rule) => rule !== undefined)
  return {
    allow: carried('allow'),
    forbid: carried('forbid'),
    mustStayClosed:
      reading.lostForbidRule ||
      lists.some(({ list, lost }) => list === 'forbid' && lost) ||
      of('forbid').some((rule) => rule === undefined),
  }
}

/** `service.ID.authz.allow.[N.]PROVIDER.CLAIM.OPERATION`; anything else is no rule, and is told as an unknown key. */
function ruleOf(setting: ConfSetting): WattsRule[] {
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
    provider === undefined ? `there is no provider ${rule.provider}` : conditionOf(rule)
  if (typeof condition === 'string') {
    const effect =
      list === 'allow'
        ? 'nobody is let in by it'
        : 'so the service is disabled until it is written anew'
    reading.problem(setting, `${condition}; the rule is left out: ${effect}`)
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

/** The value in our words, or why it cannot be carried over. */
interface Condition {
  readonly value: unknown
  /** Where the operation has another name here. */
  readonly operation?: RuleOperation
  readonly note?: string
}

function conditionOf({ setting: { value }, claim, operation }: WattsRule): Condition | string {
  if (claim.length > 256 || value.length > 1024) return 'it is too long'
  if (!isOperation(operation)) return `there is no operation ${operation}`
  switch (operation) {
    case 'contains':
      return claim === 'sub'
        ? 'contains on sub is not allowed: it holds for everybody whose sub has this as a part (use equals or is_member_of)'
        : { value, operation: 'contains_substring', note: CONTAINS_NOTE }
    case 'is_member_of':
      return memberList(value)
    case 'equals':
      return /^(true|false|[\d.]+)$/.test(value)
        ? {
            value,
            note: 'compared as text, as in WaTTS: a claim that is a number or a boolean never equals it',
          }
        : { value }
    case 'regexp':
      return regexp(value)
    case 'any':
      return value === 'true' || value === 'false'
        ? { value: value === 'true' }
        : { value: false, note: 'anything but true was false in WaTTS' }
    default:
      return operation satisfies never
  }
}

function memberList(value: string): Condition | string {
  const members = value.split(',')
  const kept = members.filter((member) => member !== '')
  if (kept.length === 0) return 'its list is empty'
  return kept.some((member) => member.trim() !== member)
    ? { value: kept, note: 'blanks beside the commas belong to the members, as in WaTTS' }
    : { value: kept }
}

function regexp(value: string): Condition | string {
  const carried = regexpFromPcre(value)
  if ('problem' in carried) return `the regexp cannot be carried over: ${carried.problem}`
  return carried.source === value
    ? { value }
    : { value: carried.source, note: `written for JavaScript: ${carried.source}` }
}

const CONTAINS_NOTE =
  'written as contains_substring, which decides as WaTTS did: where the claim is a text, any part of it counts, also inside a word. Write contains where a whole element or word is meant'

const WATTS_OPERATIONS = ['contains', 'is_member_of', 'equals', 'regexp', 'any'] as const

const isOperation = (name: string): name is (typeof WATTS_OPERATIONS)[number] =>
  (WATTS_OPERATIONS as readonly string[]).includes(name)

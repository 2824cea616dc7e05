/** The parameters of a service as fields of a form, and what came back in them. */
import { z } from 'zod'
import type { ParameterSets, RequestParameter } from '../../../plugins/plugin.ts'
import type { Service } from '../../domain/issuing/service.ts'
import type { TtsError } from '../../base/errors.ts'
import { html, type Html, textArea } from '../html/html.ts'
import { sentence } from './words.ts'

/** Prefix of parameters among the fields of a form. */
const PREFIX = 'p_'
const HOUR_SECONDS = 3600

interface Field extends RequestParameter {
  /** Asked for in hours, though it is seconds. */
  readonly inHours: boolean
  readonly choices: readonly string[]
  /** What is taken when nothing is said, for people. */
  readonly fallback: string | undefined
  /** The longest lifetime, in hours. */
  readonly most: number | undefined
}

interface PropertySchema {
  readonly enum?: readonly unknown[]
  readonly default?: unknown
}

/** Alternative lists of fields; a request keeps to one of them. */
export type FieldSets = readonly (readonly Field[])[]

/** The fields of a service. */
export function fieldSetsOf(service: Service): FieldSets {
  const properties = propertiesOf(service)
  const sets: ParameterSets = service.plugin.parameterSets
  return (sets.length === 0 ? [[]] : sets).map((set) =>
    set.map((parameter) => fieldOf(service, parameter, properties[parameter.key] ?? {})),
  )
}

function propertiesOf({ plugin }: Service): Readonly<Record<string, PropertySchema>> {
  const schema = z.toJSONSchema(plugin.parameters, { io: 'input', unrepresentable: 'any' })
  return (schema.properties ?? {}) as Readonly<Record<string, PropertySchema>>
}

function fieldOf(service: Service, parameter: RequestParameter, schema: PropertySchema): Field {
  const inHours = parameter.key === 'lifetime_seconds'
  const { lifetimes } = service
  const most = lifetimes && hours(lifetimes.maximumSeconds)
  const usual = inHours ? lifetimes && `${hours(lifetimes.defaultSeconds)} hours` : schema.default
  return {
    ...parameter,
    name: inHours ? 'Lifetime in hours' : parameter.name,
    description: inHours
      ? `How long it shall live${most === undefined ? '' : `, at most ${most} hours`}.`
      : parameter.description,
    inHours,
    choices: (schema.enum ?? []).filter((value) => typeof value === 'string'),
    fallback: typeof usual === 'string' ? usual : undefined,
    most,
  }
}

function hours(seconds: number): number {
  return Math.round((seconds / HOUR_SECONDS) * 100) / 100
}

/** What was sent in a form, or what a form begins with. */
export type FieldValues = Readonly<Record<string, string>>

/** The values of the parameters' fields. */
export function valuesOf(form: Readonly<Record<string, string>>): FieldValues {
  const fields = Object.entries(form).filter(([name]) => name.startsWith(PREFIX))
  return Object.fromEntries(fields.map(([name, value]) => [name.slice(PREFIX.length), value]))
}

/** The parameters of a request: fields that were left empty are left out, hours become seconds. */
export function parametersOfForm(sets: FieldSets, values: FieldValues): Record<string, unknown> {
  const inHours = new Set(sets.flat().flatMap((field) => (field.inHours ? [field.key] : [])))
  const given = Object.entries(values).filter(([, value]) => value.trim() !== '')
  return Object.fromEntries(
    given.map(([key, value]) => [key, inHours.has(key) ? secondsOf(value) : withLineFeeds(value)]),
  )
}

/** What is no number goes on as it is: the plugin says what it wants. */
function secondsOf(text: string): number | string {
  const number = Number(text.trim().replace(',', '.'))
  return Number.isFinite(number) ? Math.round(number * HOUR_SECONDS) : text
}

/** Browsers send the lines of a text area with CR LF. */
function withLineFeeds(text: string): string {
  return text.replaceAll('\r\n', '\n')
}

/** A refusal, parted into what belongs to a field and what does not. */
export interface PlacedProblems {
  readonly byField: ReadonlyMap<string, string>
  readonly others: readonly string[]
}

/** Puts the problems of a refusal beside the fields that they speak of. */
export function placeProblems(sets: FieldSets, refusal: TtsError | undefined): PlacedProblems {
  const byField = new Map<string, string>()
  const others: string[] = []
  const fields = new Map(sets.flat().map((field) => [field.key, field]))
  for (const problem of refusal?.message.split('; ') ?? []) {
    const [, key = '', text = ''] = /^([a-z_]{1,32}): (.+)$/s.exec(problem) ?? []
    const own = key === '' && refusal?.code === 'invalid_csr' ? 'csr' : key
    const field = fields.get(own)
    if (field === undefined) others.push(problem)
    else byField.set(own, sentence(field.inHours ? lifetimeWanted(field) : text || problem))
  }
  return { byField, others }
}

function lifetimeWanted({ most }: Field): string {
  return `must be hours as a number${most === undefined ? '' : `, at most ${most}`}, and at least a minute`
}

/** The fields of one set. Those that may stay empty, but for the lifetime, are folded away until one is used. */
export function renderFields(
  fields: readonly Field[],
  about: {
    readonly idPrefix: string
    readonly values: FieldValues
    readonly problems: PlacedProblems
  },
): Html {
  const { values, problems } = about
  const isFirst = (field: Field): boolean => field.mandatory || field.inHours
  const more = fields.filter((field) => !isFirst(field))
  const isUsed = more.some(
    ({ key }) => (values[key] ?? '').trim() !== '' || problems.byField.has(key),
  )
  const render = (field: Field): Html => renderField(field, about)
  return html`${fields.filter(isFirst).map(render)}${
    more.length > 0 &&
    html`<details${isUsed && html` open`}><summary>More options</summary>${more.map(render)}</details>`
  }`
}

function renderField(
  field: Field,
  { idPrefix, values, problems }: Parameters<typeof renderFields>[1],
): Html {
  const { key, name, description, mandatory, fallback } = field
  const id = `${idPrefix}${key}`
  const problem = problems.byField.get(key)
  const described = [`${id}-hint`, ...(problem === undefined ? [] : [`${id}-error`])].join(' ')
  const attributes = html`id="${id}" name="${PREFIX}${key}"
  aria-describedby="${described}"${
    mandatory && html` required`
  }${problem !== undefined && html` aria-invalid="true"`}`
  return html`<div class="field">
    <label for="${id}"
      ><bdi>${name}</bdi>${!mandatory && html` <span class="hint">(optional)</span>`}</label
    >
    <p class="hint" id="${id}-hint">
      ${description.replaceAll('`', '')}${fallback !== undefined && html` Left empty: ${fallback}.`}
    </p>
    ${problem !== undefined && html`<p class="error" id="${id}-error">${problem}</p>`}
    ${control(field, attributes, values[key] ?? '')}
  </div>`
}

function control(field: Field, attributes: Html, value: string): Html {
  if (field.choices.length > 0) {
    const options = field.choices.map(
      (choice) => html`<option${choice === value && html` selected`}>${choice}</option>`,
    )
    return html`<select ${attributes}>
      ${!field.mandatory && html`<option value="">${field.fallback === undefined ? 'as usual' : `as usual (${field.fallback})`}</option>`}${options}
    </select>`
  }
  if (field.type === 'textarea')
    return textArea(html`${attributes} rows="6" spellcheck="false" autocomplete="off"`, value)
  const numeric = field.inHours && html` inputmode="decimal"`
  return html`<input
    type="text"
    ${attributes}${numeric}
    value="${value}"
    autocomplete="off"
    spellcheck="false"
  />`
}

/** Renders the parameters of a service as form fields, and parses the submitted values. */
import { z } from 'zod'
import type { ParameterSets, RequestParameter } from '../../../plugins/plugin.ts'
import type { Service } from '../../domain/issuing/service.ts'
import type { TtsError } from '../../base/errors.ts'
import { html, type Html, textArea } from '../html/html.ts'
import { sentence } from './words.ts'

/** Prefix of the fields that hold parameters. */
const PREFIX = 'p_'
const HOUR_SECONDS = 3600

interface Field extends RequestParameter {
  /** The form field is in hours, although the parameter is in seconds. */
  readonly inHours: boolean
  readonly choices: readonly string[]
  /** Description of the default value. */
  readonly fallback: string | undefined
  /** Maximum lifetime, in hours. */
  readonly most: number | undefined
}

interface PropertySchema {
  readonly enum?: readonly unknown[]
  readonly default?: unknown
}

/** Alternative lists of fields; a request uses one of them. */
export type FieldSets = readonly (readonly Field[])[]

/** Returns the form fields of a service. */
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
      ? `Lifetime of the credential${most === undefined ? '' : `, at most ${most} hours`}.`
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

/** Submitted or initial values of a form. */
export type FieldValues = Readonly<Record<string, string>>

/** Returns the values of the parameter fields. */
export function valuesOf(form: Readonly<Record<string, string>>): FieldValues {
  const fields = Object.entries(form).filter(([name]) => name.startsWith(PREFIX))
  return Object.fromEntries(fields.map(([name, value]) => [name.slice(PREFIX.length), value]))
}

/** Converts form values to parameters: it drops empty fields and converts hours to seconds. */
export function parametersOfForm(sets: FieldSets, values: FieldValues): Record<string, unknown> {
  const inHours = new Set(sets.flat().flatMap((field) => (field.inHours ? [field.key] : [])))
  const filled = Object.entries(values).filter(([, value]) => value.trim() !== '')
  return Object.fromEntries(
    filled.map(([key, value]) => [key, inHours.has(key) ? secondsOf(value) : withLineFeeds(value)]),
  )
}

/** Returns text that is not a number unchanged, so that the plugin reports the error. */
function secondsOf(text: string): number | string {
  const number = Number(text.trim().replace(',', '.'))
  return Number.isFinite(number) ? Math.round(number * HOUR_SECONDS) : text
}

/** Replaces the CR LF that browsers send at the end of each line of a text area. */
function withLineFeeds(text: string): string {
  return text.replaceAll('\r\n', '\n')
}

/** The problems of a refusal, separated into those of a field and all others. */
export interface PlacedProblems {
  readonly byField: ReadonlyMap<string, string>
  readonly others: readonly string[]
}

/** Assigns the problems of a refusal to the fields that they name. */
export function placeProblems(sets: FieldSets, refusal: TtsError | undefined): PlacedProblems {
  const byField = new Map<string, string>()
  const others: string[] = []
  const fields = new Map(sets.flat().map((field) => [field.key, field]))
  for (const problem of refusal?.message.split('; ') ?? []) {
    const [, key = '', text = ''] = /^([a-z_]{1,32}): (.+)$/s.exec(problem) ?? []
    const own = key === '' && refusal?.code === 'invalid_csr' ? 'csr' : key
    const field = fields.get(own)
    if (field === undefined) others.push(problem)
    else byField.set(own, sentence(field.inHours ? lifetimeProblem(field) : text || problem))
  }
  return { byField, others }
}

function lifetimeProblem({ most }: Field): string {
  return `must be a number of hours${most === undefined ? '' : `, at most ${most}`}, and at least one minute`
}

/**
 * Renders the fields of one set. Optional fields other than the lifetime are collapsed until one of them has a value
 * or an error.
 */
export function renderFields(
  fields: readonly Field[],
  context: {
    readonly idPrefix: string
    readonly values: FieldValues
    readonly problems: PlacedProblems
  },
): Html {
  const { values, problems } = context
  const isFirst = (field: Field): boolean => field.mandatory || field.inHours
  const more = fields.filter((field) => !isFirst(field))
  const isUsed = more.some(
    ({ key }) => (values[key] ?? '').trim() !== '' || problems.byField.has(key),
  )
  const render = (field: Field): Html => renderField(field, context)
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
      ${description.replaceAll('`', '')}${fallback !== undefined && html` Default: ${fallback}.`}
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
      ${!field.mandatory && html`<option value="">${field.fallback === undefined ? 'default' : `default (${field.fallback})`}</option>`}${options}
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

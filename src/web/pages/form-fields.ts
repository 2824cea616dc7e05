/** Renders the parameters of a service as form fields, and parses the submitted values. */
import { z } from 'zod'
import type { ParameterSets, RequestParameter } from '../../../plugins/plugin.ts'
import type { Service } from '../../domain/issuing/service.ts'
import { html, type Html, textArea } from '../html/html.ts'

/** Prefix of the fields that hold parameters. */
const PREFIX = 'p_'
const HOUR_SECONDS = 3600

/** A form field for a parameter. */
export interface Field extends RequestParameter {
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

/** Seconds of the units that may follow the number; without a unit it is hours. */
const unitSeconds: Readonly<Record<string, number>> = { d: 86_400, h: HOUR_SECONDS, m: 60 }

const lifetimeForm =
  /^(\d{1,15}(?:[.,]\d{1,9})?|[.,]\d{1,9}) ?(d(?:ays?)?|h(?:ours?|rs?)?|m(?:ins?|inutes?)?)?$/i
/** Longer texts are none; a form may hold much more. */
const MAX_LIFETIME_CHARACTERS = 60

/** Returns the seconds of a lifetime; text that is none unchanged, so that the plugin reports the error. */
export function secondsOf(text: string): number | string {
  // No step may take longer than in proportion to the text: it comes from anybody who can log in.
  const words = text.trim().split(/\s+/).join(' ')
  if (words.length > MAX_LIFETIME_CHARACTERS) return text
  const [, number, unit = 'h'] = lifetimeForm.exec(words) ?? []
  if (number === undefined) return text
  const size = unitSeconds[unit.charAt(0).toLowerCase()] ?? HOUR_SECONDS
  return Math.round(Number(number.replace(',', '.')) * size)
}

/** Replaces the CR LF that browsers send at the end of each line of a text area. */
function withLineFeeds(text: string): string {
  return text.replaceAll('\r\n', '\n')
}

/** The problems of a refusal, separated into those of a field and all others. */
export interface PlacedProblems {
  /** Sentences, by key of the parameter. */
  readonly byField: ReadonlyMap<string, string>
  readonly others: readonly string[]
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

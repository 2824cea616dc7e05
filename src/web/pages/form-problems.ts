/** Says in the user's words what is wrong with a submitted form, and at which field. */
import { TtsError } from '../../base/errors.ts'
import { html, type Html } from '../html/html.ts'
import { ownPath } from '../site.ts'
import type { Web } from '../view.ts'
import {
  type Field,
  type FieldSets,
  type FieldValues,
  type PlacedProblems,
  secondsOf,
} from './form-fields.ts'
import { sentence } from './words.ts'

/**
 * Assigns the problems of a refusal to the fields that they name. A message lists them with semicolons; a part that
 * names no field continues the one before it.
 */
export function placeProblems(
  sets: FieldSets,
  refusal: TtsError | undefined,
  values: FieldValues,
): PlacedProblems {
  const byField = new Map<string, string>()
  const others: string[] = []
  const fields = new Map(sets.flat().map((field) => [field.key, field]))
  let last: Field | undefined
  for (const problem of refusal?.message.split('; ') ?? []) {
    const [, key = '', text = ''] = /^([a-z_]{1,32}): (.+)$/s.exec(problem) ?? []
    const field = fields.get(key === '' && refusal?.code === 'invalid_csr' ? 'csr' : key)
    if (field !== undefined) {
      last = field
      byField.set(field.key, wordsFor(field, text || problem, { fields, values }))
    } else if (key !== '' || last === undefined) {
      last = undefined
      others.push(problem)
    }
  }
  return { byField, others }
}

interface Form {
  readonly fields: ReadonlyMap<string, Field>
  readonly values: FieldValues
}

function wordsFor(field: Field, text: string, { fields, values }: Form): string {
  const value = (values[field.key] ?? '').trim()
  if (value === '' && field.mandatory) return 'Fill in this field.'
  if (field.inHours) return lifetimeProblem(field, value)
  // Messages name parameters by their keys, but users see the names of fields.
  return sentence(
    text.replace(/\b[a-z_]{1,32}\b/g, (word) => {
      const name = word === field.key ? undefined : fields.get(word)?.name
      return name === undefined ? word : `“${name}”`
    }),
  )
}

/** Characters of a value that a message repeats. */
const MAX_SHOWN = 60

function lifetimeProblem({ most }: Field, value: string): string {
  const bounds = `at least one minute${most === undefined ? '' : `, at most ${most} hours`}`
  const shown = value.length > MAX_SHOWN ? `${value.slice(0, MAX_SHOWN)}…` : value
  return typeof secondsOf(value) === 'number'
    ? `“${shown}” is too short or too long: ${bounds}.`
    : `“${shown}” is not a lifetime. Write a number of hours, or of minutes or days with the unit, for example 12 or 2 days (${bounds}).`
}

/** Renders the summary above the form, with a link to each field that needs a correction. */
export function renderRefusal(
  web: Web,
  {
    sets,
    problems,
    refusal,
  }: {
    readonly sets: FieldSets
    readonly problems: PlacedProblems
    readonly refusal: TtsError
  },
): Html {
  const links = [...problems.byField.keys()].flatMap((key) => {
    const index = sets.findIndex((set) => set.some((field) => field.key === key))
    const field = sets[index]?.find((one) => one.key === key)
    return field === undefined ? [] : [{ id: `f${index}-${key}`, name: field.name }]
  })
  return html`<div class="box bad" role="alert">
    ${refusal.check === 'credential_limit' ? limitReached(web) : problems.others.map((text) => html`<p>No credential was issued: <bdi>${text}</bdi>.</p>`)}
    ${
      links.length > 0 &&
      html`<p>
        No credential was issued. Correct
        ${links.map(({ id, name }, index) => html`${index > 0 && ', '}<a href="#${id}">${name}</a>`)}
        and send the form again.
      </p>`
    }
  </div>`
}

function limitReached(web: Web): Html {
  return html`<p>
    No credential was issued: you already have as many valid credentials from this service as it
    allows. Wait until one expires, or revoke one under
    <a href="${ownPath(web, '/credentials')}">Issued to you</a>.
  </p>`
}

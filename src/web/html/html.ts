/** HTML by tagged templates: whatever is put in is escaped, unless it is HTML that was made here. */

/** A piece of HTML. Made by `html` alone. */
export class Html {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** What may stand in a template; `undefined` and `false` are nothing. */
export type Content = Html | string | number | undefined | false | readonly Content[]

/** A piece of HTML. Values stand in text or between the quotes of an attribute, nowhere else. */
export function html(strings: TemplateStringsArray, ...values: readonly Content[]): Html {
  const [first = '', ...rest] = strings
  return new Html(first + rest.map((text, index) => render(values[index]) + text).join(''))
}

function render(value: Content): string {
  if (value instanceof Html) return value.text
  if (value === undefined || value === false) return ''
  if (typeof value === 'string') return escapeHtml(value)
  if (typeof value === 'number') return String(value)
  return value.map(render).join('')
}

/** Characters of HTML; and those that are not seen but change how others are: what is shown must be what is there. */
const SPECIAL =
  // oxlint-disable-next-line no-control-regex -- these are the ones that must not get through
  /[&<>"'`\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g

/** Text for HTML and for quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replace(SPECIAL, (character) =>
    '&<>"\'`'.includes(character) ? `&#${character.charCodeAt(0)};` : '\ufffd',
  )
}

/** A text area; the parser drops a newline that stands first, so there is always one. */
export function textArea(attributes: Html, value: string): Html {
  return html`<textarea ${attributes}>${'\n'}${value}</textarea>`
}

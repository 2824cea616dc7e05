/** HTML by tagged templates: every value is escaped unless it is `Html`. */

/** A fragment of HTML. Only `html` creates it. */
export class Html {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** Values allowed in a template; `undefined` and `false` render nothing. */
export type Content = Html | string | number | undefined | false | readonly Content[]

/** Returns a fragment of HTML. Values may occur only in text or inside a quoted attribute. */
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

/**
 * HTML special characters, and invisible characters that change how others are displayed: the page must show the real
 * text.
 */
const SPECIAL =
  // oxlint-disable-next-line no-control-regex -- these are the ones that must not get through
  /[&<>"'`\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g

/** Escapes text for HTML and for quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replace(SPECIAL, (character) =>
    '&<>"\'`'.includes(character) ? `&#${character.charCodeAt(0)};` : '\ufffd',
  )
}

/** Returns a text area. It begins with a newline, because the HTML parser drops the first newline. */
export function textArea(attributes: Html, value: string): Html {
  return html`<textarea ${attributes}>${'\n'}${value}</textarea>`
}

/** JSON that we print or send has one spelling of its keys: snake_case. */

/** Keys whose values have data as keys: claims of a provider, answers of a plugin. */
const DATA: readonly string[] = ['groups', 'answers', 'claims']

/** The paths of all keys of a value that are not in snake_case. */
export function misspeltKeys(value: unknown, path = ''): readonly string[] {
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value))
    return value.flatMap((item, index) => misspeltKeys(item, `${path}[${index}]`))
  return Object.entries(value).flatMap(([key, inner]) => [
    ...(/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(key) ? [] : [`${path}.${key}`]),
    ...(DATA.includes(key) ? [] : misspeltKeys(inner, `${path}.${key}`)),
  ])
}

/** The same for what a command printed: one JSON text, or lines of JSON. Text that is no JSON has no keys. */
export function misspeltKeysIn(text: string): readonly string[] {
  const parse = (part: string): unknown => {
    try {
      return JSON.parse(part)
    } catch {
      return undefined
    }
  }
  const whole = parse(text)
  return whole === undefined
    ? text.split('\n').flatMap((line) => misspeltKeys(parse(line)))
    : misspeltKeys(whole)
}

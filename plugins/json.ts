/**
 * Reads JSON from outside. Deep nesting is refused before parsing: a few kilobytes suffice to exhaust the stack of
 * any code that walks the value recursively (a schema, `JSON.stringify`).
 */

/** Deeper than any legitimate request or answer. */
export const MAX_JSON_DEPTH = 32

/** Parts of `JSON` that the types of the standard library do not have yet. */
export const { rawJSON, isRawJSON } = JSON as unknown as {
  /** Makes an object that `JSON.stringify` writes as this text. */
  readonly rawJSON: (text: string) => object
  readonly isRawJSON: (value: unknown) => boolean
}

/** A value, or the problem with the text, for the caller. The problem never quotes the text, which may hold secrets. */
export type ReadJson = { readonly value: unknown } | { readonly problem: string }

/** Parses a JSON text. Never throws. */
export function readJson(text: string): ReadJson {
  if (!isShallowJson(text)) return { problem: `is nested more than ${MAX_JSON_DEPTH} levels deep` }
  try {
    return { value: JSON.parse(text) as unknown }
  } catch {
    return { problem: 'is not valid JSON' }
  }
}

/**
 * Whether a text is nested at most `MAX_JSON_DEPTH` deep. Counts brackets outside strings; meaningless if the text is
 * not JSON.
 */
export function isShallowJson(text: string): boolean {
  let depth = 0
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index]
    if (character === '"') index = endOfString(text, index)
    else if (character === '{' || character === '[') {
      depth += 1
      if (depth > MAX_JSON_DEPTH) return false
    } else if (character === '}' || character === ']') depth -= 1
  }
  return true
}

function endOfString(text: string, start: number): number {
  for (let index = start + 1; index < text.length; index += 1) {
    if (text[index] === '\\') index += 1
    else if (text[index] === '"') return index
  }
  return text.length
}

/** Whether a parsed value is nested at most `MAX_JSON_DEPTH` deep. Does not recurse. */
export function isShallowValue(value: unknown): boolean {
  let containers = [value].filter(isContainer)
  for (let depth = 0; depth < MAX_JSON_DEPTH && containers.length > 0; depth += 1)
    containers = containers.flatMap((one) => Object.values(one).filter(isContainer))
  return containers.length === 0
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/**
 * JSON from outside. Deep nesting is refused before it is parsed: it fits into a few kilobytes, and whatever walks the value by
 * recursion (a schema, `JSON.stringify`) would run out of stack.
 */

/** Deeper than anything that is asked or answered here. */
export const MAX_JSON_DEPTH = 32

/** A value, or what is wrong with the text: words for a caller, with nothing of the text in them, which may hold secrets. */
export type ReadJson = { readonly value: unknown } | { readonly problem: string }

/** Reads a JSON text. Never throws. */
export function readJson(text: string): ReadJson {
  if (!isShallowJson(text)) return { problem: `is nested more than ${MAX_JSON_DEPTH} levels deep` }
  try {
    return { value: JSON.parse(text) as unknown }
  } catch {
    return { problem: 'is not valid JSON' }
  }
}

/** Whether a text is nested no deeper than is taken. Counts brackets outside of strings; of what is no JSON it may say anything. */
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

/** Whether a value that was parsed elsewhere is nested no deeper than is taken here. Does not recurse. */
export function isShallowValue(value: unknown): boolean {
  let containers = [value].filter(isContainer)
  for (let depth = 0; depth < MAX_JSON_DEPTH && containers.length > 0; depth += 1)
    containers = containers.flatMap((one) => Object.values(one).filter(isContainer))
  return containers.length === 0
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

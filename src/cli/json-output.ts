/** JSON for programs (`--json`): its keys are spelt as those of the HTTP API and of the configuration. */

/**
 * Returns a copy of a value with all keys in snake_case. Only for records of ours: keys that are data, such as names of
 * claims, would be changed too.
 */
export function toSnakeCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toSnakeCase)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      toSnakeCase(inner),
    ]),
  )
}

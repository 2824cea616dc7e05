/** The query of the native API, which refuses what it does not know, as bodies are refused. */
import type { Request } from 'express'
import { TtsError } from '../base/errors.ts'
import { displayKey, queryParameters } from './body.ts'

/**
 * Returns the parameters of the query.
 *
 * @param names the parameters that the path has
 * @throws {TtsError} `invalid_request`, check `parameters`; a parameter that is given twice has no check
 */
export function readQuery<Name extends string>(
  request: Request,
  names: readonly Name[],
): Readonly<Partial<Record<Name, string>>> {
  const given = queryParameters(request)
  requireKnown(Object.keys(given), names)
  return given as Partial<Record<Name, string>>
}

/**
 * Refuses parameters that a path does not have, and names those that it has.
 *
 * @throws {TtsError} `invalid_request`, check `parameters`
 */
export function requireKnown(given: readonly string[], known: readonly string[]): void {
  const unknown = given.filter((name) => !known.includes(name))
  if (unknown.length === 0) return
  const shown = unknown.map(displayKey).filter((name) => name !== undefined)
  const which = shown.length === 0 ? '' : `: ${shown.slice(0, 5).join(', ')}`
  const accepted = known.length === 0 ? 'none' : known.join(', ')
  throw new TtsError(
    'invalid_request',
    `unknown parameter${which}; this path accepts ${accepted}`,
    {
      check: 'parameters',
    },
  )
}

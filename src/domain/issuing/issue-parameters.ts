/** Checks the caller's parameters against the plugin's schema. */
import type { z } from 'zod'
import { unionProblem, validationWords } from '../../../plugins/validation-words.ts'
import { containsPrivateKey } from '../../../ca/pem.ts'
import { TtsError } from '../../base/errors.ts'
import type { Service } from './service.ts'

/**
 * Returns the parameters as parsed by the plugin's schema.
 *
 * @throws {TtsError} `invalid_request`, check `parameters` or `private_key`; its message never repeats the input
 */
export function readParameters(service: Service, parameters: unknown): unknown {
  requireNoPrivateKey(parameters)
  const result = service.plugin.parameters.safeParse(parameters ?? {}, { error: validationWords })
  if (result.success) return result.data
  throw new TtsError('invalid_request', parameterProblems(result.error), { check: 'parameters' })
}

/**
 * A private key that was sent has been exposed to every proxy on the way, so the request is refused and the caller
 * warned.
 *
 * @throws {TtsError} `invalid_request`, check `private_key`
 */
export function requireNoPrivateKey(parameters: unknown): void {
  const values = typeof parameters === 'object' && parameters !== null ? parameters : {}
  const isKey = (value: unknown): boolean =>
    typeof value === 'string' ? containsPrivateKey(value) : isNestedKey(value)
  // Depth is bounded where JSON is read.
  const isNestedKey = (value: unknown): boolean =>
    typeof value === 'object' && value !== null && Object.values(value).some(isKey)
  if (!Object.values(values).some(isKey)) return
  throw new TtsError(
    'invalid_request',
    'the request contains a private key, which must never be sent to anybody: treat it as stolen, make a new key, and send only the CSR or the public key',
    { check: 'private_key' },
  )
}

function parameterProblems(error: z.ZodError): string {
  return error.issues.slice(0, 5).map(parameterProblem).join('; ')
}

/** Describes one problem. Does not repeat the input: a token in the wrong place would end up in log and audit trail. */
function parameterProblem(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') {
    const known = issue.keys.filter((key) => /^[a-z_]{1,32}$/.test(key))
    return known.length > 0
      ? `unknown parameter: ${known.slice(0, 5).join(', ')}`
      : 'unknown parameter; see /openapi.json for the list'
  }
  const where = issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''
  return `${where}${issue.code === 'invalid_union' ? unionProblem(issue) : issue.message}`
}

/** What a caller asks of a plugin, checked by the plugin's schema. */
import type { z } from 'zod'
import { containsPrivateKey } from '../../../ca/pem.ts'
import { TtsError } from '../../base/errors.ts'
import type { Service } from './service.ts'

/**
 * The parameters as the plugin takes them.
 *
 * @throws {TtsError} `invalid_request`, check `parameters`; nothing of what was sent is repeated
 */
export function readParameters(service: Service, parameters: unknown): unknown {
  requireNoPrivateKey(parameters)
  const result = service.plugin.parameters.safeParse(parameters ?? {})
  if (result.success) return result.data
  throw new TtsError('invalid_request', parameterProblems(result.error), { check: 'parameters' })
}

/** Whoever sends us their key has shown it to every proxy on the way. They must know, and nothing is made of it. */
function requireNoPrivateKey(parameters: unknown): void {
  const values = typeof parameters === 'object' && parameters !== null ? parameters : {}
  const isKey = (value: unknown): boolean =>
    typeof value === 'string' ? containsPrivateKey(value) : isNestedKey(value)
  // Depth is bounded where JSON is read.
  const isNestedKey = (value: unknown): boolean =>
    typeof value === 'object' && value !== null && Object.values(value).some(isKey)
  if (!Object.values(values).some(isKey)) return
  throw new TtsError(
    'invalid_request',
    'the request contains a private key, which must never be sent to anybody: take it for stolen, make a new key, and send the CSR or the public key alone',
    { check: 'private_key' },
  )
}

function parameterProblems(error: z.ZodError): string {
  return error.issues.slice(0, 5).map(parameterProblem).join('; ')
}

/** One problem. What the caller sent is not repeated: a token in the wrong place would end in the log and the audit trail. */
function parameterProblem(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') {
    const known = issue.keys.filter((key) => /^[a-z_]{1,32}$/.test(key))
    return known.length > 0
      ? `there is no parameter ${known.slice(0, 5).join(', ')}`
      : 'a parameter is not known; /openapi.json lists them'
  }
  const where = issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''
  return `${where}${issue.code === 'invalid_union' ? unionProblem(issue) : issue.message}`
}

/** Of the alternatives that a value could have been, what the one says that has its type. */
function unionProblem(issue: z.core.$ZodIssueInvalidUnion): string {
  const problems = issue.errors.flat()
  const telling = problems.find(({ code }) => code !== 'invalid_type') ?? problems[0]
  return telling?.message ?? issue.message
}

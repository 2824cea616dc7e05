/** Request parameters that several plugins share. */
import { z } from 'zod'
import { MAX_CSR_BYTES } from '../ca/csr.ts'
import type { ParameterSets } from './plugin.ts'

/** Schema of a whole number within bounds; also accepts digits, because query parameters are strings. */
export function wholeNumber(least: number, most: number) {
  const digits = z
    .string()
    .regex(/^\d{1,12}$/, `must be a whole number from ${least} to ${most}`)
    .transform(Number)
  return (
    z
      .union([z.number(), digits])
      .pipe(z.int().min(least).max(most))
      // As JSON Schema it would be any number, or any digits.
      .meta({ type: 'integer', minimum: least, maximum: most, anyOf: undefined })
  )
}

/** Requested lifetime of a certificate, in seconds. */
export const lifetimeSeconds = wholeNumber(60, 400 * 86_400).describe(
  'Life of the certificate in seconds, from now.',
)

/** A certificate signing request in PEM; DER bodies are converted to PEM before they reach the plugin. */
export const certificateRequest = z
  .string()
  .min(1, 'must be a PKCS#10 request')
  .max(MAX_CSR_BYTES)
  .describe('PKCS#10 certificate signing request in PEM. Only its public key is used.')

/** Whether the keys include all mandatory ones of some set and none outside that set. */
export function fitsSomeSet(sets: ParameterSets, keys: readonly string[]): boolean {
  return sets.some(
    (set) =>
      set.every(({ key, mandatory }) => !mandatory || keys.includes(key)) &&
      keys.every((name) => set.some(({ key }) => key === name)),
  )
}

/** Request parameters that several plugins take. */
import { z } from 'zod'
import { MAX_CSR_BYTES } from '../ca/csr.ts'
import type { ParameterSets } from './plugin.ts'

/** A whole number within bounds; as digits too, since query parameters are text. */
export function wholeNumber(least: number, most: number) {
  const digits = z
    .string()
    .regex(/^\d{1,12}$/, `must be a whole number from ${least} to ${most}`)
    .transform(Number)
  return z.union([z.number(), digits]).pipe(z.int().min(least).max(most))
}

/** How long the certificate shall live. */
export const lifetimeSeconds = wholeNumber(60, 400 * 86_400).describe(
  'Life of the certificate in seconds, from now on.',
)

/** A certificate signing request in PEM; DER bodies reach the plugin as PEM too. */
export const certificateRequest = z
  .string()
  .min(1, 'must be a PKCS#10 request')
  .max(MAX_CSR_BYTES)
  .describe('PKCS#10 certificate signing request in PEM. Only its public key is used.')

/** Whether all mandatory keys of one set are there, and nothing outside that set. */
export function fitsSomeSet(sets: ParameterSets, keys: readonly string[]): boolean {
  return sets.some(
    (set) =>
      set.every(({ key, mandatory }) => !mandatory || keys.includes(key)) &&
      keys.every((given) => set.some(({ key }) => key === given)),
  )
}

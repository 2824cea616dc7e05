/** Reads values that may be broken: a finding is enough, an error would end the examination. */
import { CaError } from './errors.ts'

/** The value, or undefined if it cannot be read. */
export function ifReadable<Value>(read: () => Value): Value | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof CaError) return undefined
    throw error
  }
}

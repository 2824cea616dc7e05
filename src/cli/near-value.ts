/**
 * Finds the value of a claim that a rule nearly matches, for hints on the operator's terminal. The hints hold values of
 * claims, so they must not go to a log or to a caller.
 */
import type { ConditionTrace } from '../domain/issuing/authorise.ts'
import { wordsOf } from '../tokens/claim-values.ts'

/** How a value of a claim differs from the configured one; `whole`: it does not, but the claim has other values too. */
export type Difference = 'whole' | 'slash' | 'case' | 'component' | 'typing error'

/** A value of a claim that is near a configured one. */
export interface NearValue {
  readonly expected: string
  readonly value: string
  readonly difference: Difference
}

/** The most likely explanation first. */
const DIFFERENCES: readonly (readonly [
  Difference,
  (expected: string, value: string) => boolean,
])[] = [
  ['whole', (expected, value) => expected === value],
  ['slash', (expected, value) => withoutSlash(expected) === withoutSlash(value)],
  ['case', (expected, value) => normalised(expected) === normalised(value)],
  ['component', isLastComponent],
  ['typing error', isOneEditAway],
]

/** Returns the value of the claim that is nearest to the configured value of a false condition, if one is near. */
export function nearValue(condition: ConditionTrace): NearValue | undefined {
  if (condition.outcome !== 'false') return undefined
  const expected = expectedTexts(condition)
  const values = textsOf(condition.value)
  for (const [difference, isNear] of DIFFERENCES) {
    for (const each of expected) {
      const value = values.find((candidate) => isNear(each, candidate))
      if (value !== undefined) return { expected: each, value, difference }
    }
  }
  return undefined
}

/** Returns the configured values of a condition; none for the operations that compare with no value. */
function expectedTexts({ operation, expected }: ConditionTrace): readonly string[] {
  if (operation === 'regexp' || operation === 'any') return []
  const values: readonly unknown[] = Array.isArray(expected) ? expected : [expected]
  return values.filter((value) => typeof value === 'string')
}

/** Returns the texts of a claim: the elements of a list, or the text and its words. */
function textsOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value, ...wordsOf(value)]
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : []
}

const withoutSlash = (text: string): string => (text.startsWith('/') ? text.slice(1) : text)

const normalised = (text: string): string => withoutSlash(text).toLowerCase()

/** Whether one text is the last component of the path that the other one is, as `/vo/cms` and `cms`. */
function isLastComponent(expected: string, value: string): boolean {
  const [shorter, longer] = [normalised(expected), normalised(value)].sort(
    (first, second) => first.length - second.length,
  )
  return Boolean(shorter) && !shorter?.includes('/') && longer?.endsWith(`/${shorter}`) === true
}

/** In shorter words, one letter often makes another name. */
const MIN_WORD_CHARACTERS = 5

/** Whether one inserted, deleted or changed character makes the texts equal. */
function isOneEditAway(first: string, second: string): boolean {
  const [shorter, longer] = [normalised(first), normalised(second)].sort(
    (one, other) => one.length - other.length,
  ) as [string, string]
  if (shorter.length < MIN_WORD_CHARACTERS || longer.length - shorter.length > 1) return false
  let start = 0
  while (start < shorter.length && shorter[start] === longer[start]) start += 1
  const rest = shorter.length === longer.length ? shorter.slice(start + 1) : shorter.slice(start)
  return longer.slice(start + 1) === rest
}

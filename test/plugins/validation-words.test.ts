import fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { unionProblem, validationWords } from '../../plugins/validation-words.ts'

function problemOf(schema: z.ZodType, value: unknown): string {
  const result = schema.safeParse(value, { error: validationWords })
  if (result.success) throw new Error('the value is valid')
  const [issue] = result.error.issues
  if (issue === undefined) throw new Error('there is no issue')
  return issue.code === 'invalid_union' ? unionProblem(issue) : issue.message
}

const strict = z.strictObject({ a: z.string() })
const rows: readonly (readonly [z.ZodType, unknown, string])[] = [
  [z.string(), undefined, 'must be set'],
  [z.string(), 7, 'must be a string'],
  [z.number(), 'x', 'must be a number'],
  [z.number(), Number.NaN, 'must be a number'],
  [z.int(), 1.5, 'must be a whole number'],
  [z.boolean(), 'yes', 'must be true or false'],
  [z.array(z.string()), 'x', 'must be a list'],
  [strict, [], 'must be a mapping of keys to values'],
  [z.record(z.string(), z.string()), 7, 'must be a mapping of keys to values'],
  [strict, { a: 'x', b: 1 }, 'has an unknown key'],
  [z.number().min(60), 0, 'must be at least 60'],
  [z.number().gt(0), 0, 'must be more than 0'],
  [z.number().max(60), 61, 'must be at most 60'],
  [z.number().lt(60), 60, 'must be less than 60'],
  [z.number().multipleOf(5), 7, 'must be a multiple of 5'],
  [z.string().min(1), '', 'must not be empty'],
  [z.string().min(16), 'x', 'must have at least 16 characters'],
  [z.string().max(1), 'xx', 'must have at most 1 character'],
  [z.string().length(3), 'x', 'must have at least 3 characters'],
  [z.array(z.string()).min(1), [], 'must have at least 1 entry'],
  [z.array(z.string()).max(2), ['a', 'b', 'c'], 'must have at most 2 entries'],
  [z.enum(['a', 'b']), 'c', 'must be one of a, b'],
  [z.literal('a'), 'c', 'must be a'],
  [z.url(), 'x', 'must be a URL'],
  [z.email(), 'x', 'must be an email address'],
  [z.iso.datetime(), 'x', 'must be a time in ISO 8601 format, for example 2026-01-31T12:00:00Z'],
  [z.string().regex(/^\d+$/), 'x', 'must match /^\\d+$/'],
  [z.string().regex(/^\d+$/, 'must be digits'), 'x', 'must be digits'],
  [z.string().refine(() => false), 'x', 'is not valid'],
  [z.union([z.number(), z.string().min(5)]), 'x', 'must have at least 5 characters'],
  [z.union([z.number(), z.boolean()]), 'x', 'must be a number'],
  [
    z.discriminatedUnion('k', [z.object({ k: z.literal('a') })]),
    { k: 'b' },
    'does not have one of the accepted forms',
  ],
]

test.for(rows)('row %#', ([schema, value, words]) => {
  expect(problemOf(schema, value)).toBe(words)
})

test('no word of the library is left', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...rows.map(([schema]) => schema)),
      fc.anything(),
      (schema, value) => {
        const result = schema.safeParse(value, { error: validationWords })
        for (const { message } of result.error?.issues ?? [])
          expect(message).not.toMatch(/Invalid|expected|Too |received|Unrecognized/)
      },
    ),
  )
})

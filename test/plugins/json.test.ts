import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isShallowValue, MAX_JSON_DEPTH, readJson } from '../../plugins/json.ts'

const nested = (levels: number, [open, close]: readonly [string, string], inner = '1'): string =>
  `${open.repeat(levels)}${inner}${close.repeat(levels)}`

describe('JSON from outside', () => {
  test.for([
    { name: 'lists', pair: ['[', ']'] as const },
    { name: 'objects', pair: ['{"a":', '}'] as const },
  ])('$name up to the depth that is taken, and one more', ({ pair }) => {
    expect(readJson(nested(MAX_JSON_DEPTH, pair))).toHaveProperty('value')
    expect(readJson(nested(MAX_JSON_DEPTH + 1, pair))).toEqual({
      problem: 'is nested more than 32 levels deep',
    })
    expect(isShallowValue(JSON.parse(nested(MAX_JSON_DEPTH, pair)))).toBe(true)
    expect(isShallowValue(JSON.parse(nested(MAX_JSON_DEPTH + 1, pair)))).toBe(false)
  })

  test('brackets in strings do not count', () => {
    const text = `"\\"${'['.repeat(100)}\\\\"`
    expect(readJson(text)).toEqual({ value: JSON.parse(text) as unknown })
  })

  test.for(['', ' ', '{', '"', '"\\', 'nul', '{"a":1,}', '[1 2]', '\u0000'])(
    '%j is no JSON',
    (text) => {
      expect(readJson(text)).toEqual({ problem: 'is not valid JSON' })
    },
  )

  test('what is shallow reads as JSON.parse reads it; nothing throws', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 8 }), (text) => {
        expect(readJson(text)).toEqual({ value: JSON.parse(text) as unknown })
      }),
    )
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => readJson(text)).not.toThrow()
      }),
    )
  })
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { originalText, storedText } from '../../src/store/stored-text.ts'

// Any UTF-16 code units, lone surrogates too, with what the encoding treats specially made frequent.
const anyText = fc
  .array(
    fc.oneof(
      fc.integer({ min: 0, max: 0xffff }),
      fc.constantFrom(0, 0x5c, 0x30, 0x75, 0xd800, 0xdfff),
    ),
  )
  .map((units) => String.fromCharCode(...units))

test('every string comes back from its stored form', () => {
  fc.assert(fc.property(anyText, (text) => originalText(storedText(text)) === text))
})

test('the stored form holds nothing that a database refuses or changes', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const stored = storedText(text)
      expect(stored).not.toContain('\0')
      expect(Buffer.from(stored, 'utf8').toString('utf8')).toBe(stored)
    }),
  )
})

test('ordinary text is stored as it is', () => {
  expect(storedText('/C=EU/CN=Zoë 😀')).toBe('/C=EU/CN=Zoë 😀')
})

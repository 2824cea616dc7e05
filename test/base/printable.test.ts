import { expect, test } from 'vitest'
import { printable } from '../../src/base/printable.ts'

test.for([
  ['\u001b[31mred', '?[31mred'],
  ['a\u0000b\nc\td', 'a?b?c?d'],
  ['left\u202eright', 'left?right'],
  ['two\u2028lines\u2029', 'two?lines?'],
  ['\ud800', '?'],
  ['/CN=Zoë O’Neill 🚀', '/CN=Zoë O’Neill 🚀'],
  ['', ''],
])('%j is printed as %j', ([text = '', shown]) => {
  expect(printable(text)).toBe(shown)
})

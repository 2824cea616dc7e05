import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { configurationReference } from '../../src/config/reference.ts'
import { configurationSchema } from '../../src/config/schema.ts'

const written = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')

test('docs/configuration.md is what the schema says', () => {
  expect(written, 'out of date: run `npm run docs`').toBe(configurationReference())
})

test('it has every section, and a sentence for every key', () => {
  for (const section of Object.keys(configurationSchema.shape)) expect(written).toContain(section)
  const rows = written.split('\n').filter((line) => line.startsWith('| `'))
  expect(rows.length).toBeGreaterThan(60)
  expect(rows.filter((row) => /\|\s*\|$/.test(row))).toEqual([])
})

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { certcacheReference } from '../../src/certcache/settings/reference.ts'
import { certcacheSchema } from '../../src/certcache/settings/settings.ts'
import { configurationReference } from '../../src/config/reference.ts'
import { configurationSchema } from '../../src/config/schema.ts'

const references = [
  ['configuration.md', configurationReference, configurationSchema],
  ['certcache-configuration.md', certcacheReference, certcacheSchema],
] as const

describe.for(references)('docs/%s', ([name, reference, schema]) => {
  const written = readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')

  test('is what the schema says', () => {
    expect(written, 'out of date: run `npm run docs`').toBe(reference())
  })

  test('has every section, and a sentence for every key', () => {
    for (const section of Object.keys(schema.shape)) expect(written).toContain(section)
    const rows = written.split('\n').filter((line) => line.startsWith('| `'))
    expect(rows.length).toBeGreaterThan(40)
    expect(rows.filter((row) => /\|\s*\|$/.test(row))).toEqual([])
  })
})

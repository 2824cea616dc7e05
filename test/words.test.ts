/** One word for one thing: no two exported things share a name, and no word of ours where the field has one. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const tracked = (...paths: readonly string[]): readonly string[] =>
  execFileSync('git', ['ls-files', ...paths], { encoding: 'utf8' })
    .trim()
    .split('\n')

test('no two exported things share a name', () => {
  const files = new Map<string, string[]>()
  for (const file of tracked('src', 'ca', 'plugins').filter((name) => name.endsWith('.ts')))
    for (const [, name = ''] of readFileSync(file, 'utf8').matchAll(
      /^export (?:async )?(?:function|const|class|interface|type) (\w+)/gm,
    ))
      files.set(name, [...(files.get(name) ?? []), file])
  expect(files.size).toBeGreaterThan(500)
  expect([...files].filter(([, found]) => new Set(found).size > 1)).toEqual([])
})

test("the field's words are used", () => {
  const own =
    /signing.?room|workbench|waiting.?room|custodian|told-?error|surroundings|\bwish|stubborn/i
  const found = tracked('src', 'ca', 'plugins', 'docs', 'README.md', 'CONTRIBUTING.md').filter(
    (file) => /\.(ts|md)$/.test(file) && own.test(readFileSync(file, 'utf8')),
  )
  expect(found).toEqual([])
})

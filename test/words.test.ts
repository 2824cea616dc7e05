/** One word for one thing: no two exported things share a name, and no word of ours where the field has one. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { logFieldsIn } from './support/log-fields.ts'
import { messagesIn, remediesIn, type SourceMessage } from './support/source-messages.ts'

/** Names that are written with a capital letter wherever they stand. */
const NAMES =
  /^(OpenSSL|OpenSSH|OpenID|PostgreSQL|SQLite|Node|Kerberos|Globus|Keycloak|Prometheus|Linux|Kubernetes)\b/

/** Two capitals or more: an acronym, or the name of an environment variable. */
const ACRONYM = /^[A-Z0-9_]*[A-Z][A-Z0-9_]*[A-Z]/

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

/** The texts of a kind in our sources that are not well written, as `file:line: text`. */
function badTexts(
  find: (source: string) => readonly SourceMessage[],
  isGood: (text: string) => boolean,
): readonly string[] {
  const texts = tracked('src', 'ca', 'plugins')
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) =>
      find(readFileSync(file, 'utf8')).map(({ line, text }) => ({
        where: `${file}:${line}`,
        text,
      })),
    )
  expect(texts.length).toBeGreaterThan(150)
  return texts.filter(({ text }) => !isGood(text)).map(({ where, text }) => `${where}: ${text}`)
}

test('messages of errors and of the log begin in lower case', () => {
  const isGood = (text: string): boolean =>
    !/^[A-Z]/.test(text) || ACRONYM.test(text) || NAMES.test(text)
  expect(badTexts(messagesIn, isGood)).toEqual([])
})

test('remedies are sentences', () => {
  // An interpolation at either end is another sentence, or a part of this one that the source cannot show.
  const begins = /^([A-Z`]|\$\{|[a-z_]+[._]\S*[a-z>])/
  expect(badTexts(remediesIn, (text) => begins.test(text) && /[.}]$/.test(text))).toEqual([])
})

test('fields of the log are in snake_case', () => {
  const fields = tracked('src', 'plugins')
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) =>
      logFieldsIn(readFileSync(file, 'utf8')).map(({ line, name }) => ({
        name,
        where: `${file}:${line}: ${name}`,
      })),
    )
  expect(fields.length).toBeGreaterThan(250)
  expect(
    fields.filter(({ name }) => !/^[a-z][a-z0-9_]*$/.test(name)).map(({ where }) => where),
  ).toEqual([])
})

test('lines of comments have at most 120 characters', () => {
  const sources = tracked('*.ts')
  const long = sources.flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line, index) =>
        // What has no space cannot be wrapped.
        line.length > 120 && /^\s*(\*|\/\*\*|\/\/) .* \S+ /.test(line)
          ? [`${file}:${index + 1}`]
          : [],
      ),
  )
  expect(sources.length).toBeGreaterThan(500)
  expect(long).toEqual([])
})

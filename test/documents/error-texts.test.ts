/** The error texts by which readers find their problem are texts that our programs print. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

/** The code in the first column of the tables of a document, without the sections whose texts are of other software. */
function textsIn(markdown: string): readonly string[] {
  const sections = markdown
    .split(/^## /m)
    .filter((section) => !section.startsWith('A relying party\n'))
  const rows = sections.join('\n').matchAll(/^\| (`[^|]*`) +\|/gm)
  return [...rows].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text),
  )
}

/** A source with one line for each text: pieces are joined, interpolations are `…`, and comments are left out. */
function printable(source: string): string {
  return source
    .replaceAll(/^\s*(?:\*|\/\*\*|\/\/|#).*$/gm, '')
    .replaceAll(/(['"`])\s*\+\s*(['"`])/g, '')
    .replaceAll(/\$\{(?:[^{}]|\{[^{}]*\})*\}|\$\(?\w+\)?/g, '…')
    .replaceAll(String.raw`\'`, "'")
}

const sources = execFileSync(
  'git',
  ['ls-files', 'src/*.ts', 'ca/*.ts', 'plugins/*.ts', 'deploy/worker'],
  { cwd: root, encoding: 'utf8' },
)
  .trim()
  .split('\n')
  .map((path) => printable(read(path)))

/** Whether a source prints a text, in which `…` is anything. */
function isPrinted(text: string): boolean {
  const parts = text
    .split('…')
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
  const pattern = new RegExp(parts.join('[^\\n]*?'))
  return sources.some((source) => pattern.test(source))
}

describe.for(['docs/troubleshooting.md', 'docs/how-to/oidc-agent.md'])('%s', (path) => {
  const texts = textsIn(read(path)).filter((text) => text.includes(' '))

  test('names texts', () => {
    expect(texts.length).toBeGreaterThan(3)
  })

  test.for(texts)('"%s" is printed by a program', (text) => {
    expect(isPrinted(text)).toBe(true)
  })
})

test.for([
  'the token has expirred',
  'the token is meant for another service … accepted scopes',
  'Serialises an error',
] as const)('"%s" is not', (text) => {
  expect(isPrinted(text)).toBe(false)
})

/** Markdown files: lines that fit a screen, and names of files, links and anchors that lead somewhere. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { expect, test } from 'vitest'

const LONGEST_LINE = 120
const root = join(import.meta.dirname, '..')
const tracked = execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' })
  .trim()
  .split('\n')
const documents = tracked.filter((path) => path.endsWith('.md'))
// `npm run docs` writes these from texts in the code, one paragraph a line.
const generated = new Set(['docs/configuration.md', 'docs/certcache-configuration.md'])
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const withoutCode = (markdown: string): string =>
  markdown.replace(/^( *)(```+|~~~+)[^]*?^\1\2 *$/gm, '')

/** Lines of prose that are too long, although they could be wrapped: links and code are not. */
function longLines(markdown: string): readonly string[] {
  return withoutCode(markdown)
    .split('\n')
    .filter((line) => line.length > LONGEST_LINE && !/^\s*\|/.test(line))
    .filter((line) => {
      const words = line.replace(/\]\([^)]*\)|`[^`]*`/g, (part) => part.replaceAll(' ', '_'))
      return (
        words
          .trim()
          .split(/\s+/)
          .filter((word) => !/^([-*>]|\d+\.)$/.test(word)).length > 1
      )
    })
}

/** The files and folders of this repository that a text names from the root. */
function namedPaths(markdown: string): readonly string[] {
  const names = markdown.matchAll(
    /(?<![\w./-])(?:src|ca|plugins|docs|test|scripts)\/(?:[\w-]+(?:\.[\w-]+)*\/?)*/g,
  )
  return [...names].map(([path]) => path)
}

/** The anchors of a document: one for each heading, as GitHub makes them. */
const anchors = (markdown: string): readonly string[] =>
  [...withoutCode(markdown).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )

test.for(documents.filter((path) => !generated.has(path)))(
  'no line of %s is longer than 120 characters',
  (path) => {
    expect(longLines(read(path))).toEqual([])
  },
)

test.for(documents)('every path of this repository that %s names exists', (path) => {
  expect(namedPaths(read(path)).filter((name) => !existsSync(join(root, name)))).toEqual([])
})

test.for(documents)('every TypeScript file that %s names exists', (path) => {
  const names = new Set(tracked.map((name) => basename(name)))
  const named = [...withoutCode(read(path)).matchAll(/`(?:[\w-]+\/)*([\w-]+\.m?ts)`/g)]
  expect(named.map(([, name = '']) => name).filter((name) => !names.has(name))).toEqual([])
})

test.for(documents)('every link of %s leads to a file and a heading', (path) => {
  const targets = withoutCode(read(path)).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)
  for (const [link, file = '', anchor] of targets) {
    const target = file === '' ? path : join(dirname(path), file)
    expect(existsSync(join(root, target)), link).toBe(true)
    if (anchor !== undefined) expect(anchors(read(target)), link).toContain(anchor)
  }
})

/**
 * Copies what the site shows into `pages/`, where VitePress finds it and its own packages: the documents that the
 * navigation names, their pictures, the home page, and Mermaid as it comes, because to bundle it takes a minute.
 */
import { cpSync, globSync, mkdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { sidebar } from './.vitepress/navigation.ts'

const root = join(import.meta.dirname, '..')
const pages = join(import.meta.dirname, 'pages')
const mermaid = dirname(createRequire(import.meta.url).resolve('mermaid'))

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true })
  cpSync(from, to)
}

rmSync(pages, { recursive: true, force: true })
const documents = sidebar.flatMap(({ items }) => items.map(({ link }) => `${link.slice(1)}.md`))
const pictures = globSync('docs/{*,images/*}.{png,svg}', { cwd: root })
for (const name of [...documents, ...pictures]) copy(join(root, name), join(pages, name))
copy(join(import.meta.dirname, 'index.md'), join(pages, 'index.md'))
for (const name of globSync('{mermaid.esm.min.mjs,chunks/mermaid.esm.min/*.mjs}', { cwd: mermaid }))
  copy(join(mermaid, name), join(pages, 'public/mermaid', name))

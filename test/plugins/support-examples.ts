/** The example plugins: those that stand in docs/plugins.md, and those in TypeScript with their types checked. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')

/** A plugin as the documentation has it. */
export function documentedPlugin(language: 'python' | 'sh' | 'ts'): string {
  const text = readFileSync(join(root, 'docs/plugins.md'), 'utf8')
  const [, code] = new RegExp('^```' + language + '\\n(#!.*?)^```$', 'ms').exec(text) ?? []
  if (code === undefined) throw new Error(`docs/plugins.md has no plugin in ${language}`)
  return code
}

const strict =
  '--noEmit --strict --erasableSyntaxOnly --module nodenext --target es2023 --types node'

/**
 * Writes a plugin in TypeScript into a directory, which is made. Throws where its types are wrong. Answers its path.
 */
export function placePlugin(directory: string, name: string, source: string): string {
  mkdirSync(directory)
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}')
  const file = join(directory, `${name}.ts`)
  writeFileSync(file, source, { mode: 0o755 })
  const words = [...strict.split(' '), file]
  execFileSync(join(root, 'node_modules/.bin/tsc'), words, { cwd: directory })
  return file
}

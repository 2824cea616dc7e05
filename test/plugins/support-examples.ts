/** The example plugins: those that stand in docs/plugins.md, and how those in TypeScript are run. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')

/** A plugin as the documentation has it. */
export function documentedPlugin(language: 'python' | 'sh' | 'ts'): string {
  const text = readFileSync(join(root, 'docs/plugins.md'), 'utf8')
  const [, code] = new RegExp('^```' + language + '\\n(#!.*?)^```$', 'ms').exec(text) ?? []
  if (code === undefined) throw new Error(`docs/plugins.md has no plugin in ${language}`)
  return code
}

/** The command by which the documentation compiles one. */
function compilation(): { readonly program: string; readonly options: readonly string[] } {
  const text = readFileSync(join(root, 'docs/plugins.md'), 'utf8')
  const [, line = ''] = /<!-- compile -->\s+```sh\n.*\nnpx (.*) myplugin\.ts\n```/.exec(text) ?? []
  const [program = '', ...options] = line.split(' ')
  return { program, options }
}

/** Whether this Node runs TypeScript as it is. */
const runsTypeScript = Boolean((process.features as { typescript?: unknown }).typescript)

/**
 * The plugin as a user's machine runs it: the file itself where Node takes it, else what tsc makes of it, as the documentation
 * says. Throws where its types are wrong. Answers its path in `place`.
 */
export function compilePlugin(place: string, name: string, source: string): string {
  mkdirSync(place)
  symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'))
  writeFileSync(join(place, 'package.json'), '{"type":"module"}')
  writeFileSync(join(place, `${name}.ts`), source)
  const { program, options } = compilation()
  execFileSync(join(root, 'node_modules/.bin', program), [...options, `${name}.ts`], { cwd: place })
  const compiled = join(place, `${name}.${runsTypeScript ? 'ts' : 'js'}`)
  chmodSync(compiled, 0o755)
  return compiled
}

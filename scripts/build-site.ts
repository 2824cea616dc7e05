/**
 * `npm run site`: builds the site of the documentation into `site/dist`. The generator has a directory and a lock file
 * of its own, because it is larger than all else: it is installed at the first build, and when its lock file changes.
 *
 * `--out DIR` builds in another directory. `--install-only` builds nothing.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const site = join(import.meta.dirname, '../site')
const options = { out: { type: 'string' }, 'install-only': { type: 'boolean' } } as const
const { out, 'install-only': installOnly } = parseArgs({ options }).values

process.exitCode = install() || (installOnly ? 0 : build())

function install(): number {
  const lock = readFileSync(join(site, 'package-lock.json'))
  const digest = createHash('sha256').update(lock).digest('hex')
  // In node_modules, so that it goes when they go.
  const installed = join(site, 'node_modules/.installed-lock')
  if (existsSync(installed) && readFileSync(installed, 'utf8') === digest) return 0
  // No package needs a script of its own to be installed.
  const code = run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--silent'])
  if (code === 0) writeFileSync(installed, digest)
  return code
}

function build(): number {
  const target = out === undefined ? [] : ['--', '--outDir', resolve(out)]
  return run('npm', ['run', '--silent', 'build', ...target])
}

function run(program: string, words: readonly string[]): number {
  const { status, error } = spawnSync(program, words, { cwd: site, stdio: 'inherit' })
  if (error !== undefined) process.stderr.write(`${program}: ${error.message}\n`)
  return status ?? 1
}

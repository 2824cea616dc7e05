/**
 * `npm run release -- patch|minor|major [--skip-ci]`: checks the working tree, runs `.ci/run`, creates commit and tag
 * with `npm version`, and prints the notes. It pushes and publishes nothing.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { notesOf } from './changelog.ts'

const USAGE = 'usage: npm run release -- patch|minor|major [--skip-ci]'
const CI = '.ci/run'

function git(...args: readonly string[]): string {
  return execFileSync('git', args, { encoding: 'utf8' }).trim()
}

/** Runs a command and shows its output. @throws {Error} if the command fails */
function run(command: string, args: readonly string[] = []): void {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' })
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`${[command, ...args].join(' ')} failed: nothing was released`)
}

/** @throws {Error} */
function requireReleasable(): void {
  const branch = git('branch', '--show-current')
  if (branch !== 'main')
    throw new Error(
      `releases need the branch main, but this is ${branch || 'not a branch'}: check out main`,
    )
  if (git('status', '--porcelain') !== '')
    throw new Error('the working tree has changes: commit or stash them first')
  // Checked before CI, which takes minutes.
  notesOf(readFileSync('CHANGELOG.md', 'utf8'))
}

/** @throws {Error} */
function release(args: readonly string[]): void {
  const skipsCi = args.includes('--skip-ci')
  const [kind = '', ...others] = args.filter((each) => each !== '--skip-ci')
  if (!['patch', 'minor', 'major'].includes(kind) || others.length > 0) throw new Error(USAGE)
  requireReleasable()
  if (!skipsCi) {
    if (!existsSync(CI)) throw new Error(`${CI} does not exist: add it, or release with --skip-ci`)
    run(CI)
  }
  run('npm', ['version', kind, '--message', 'chore(release): %s'])
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  const notes = notesOf(readFileSync('CHANGELOG.md', 'utf8'), version)
  process.stdout.write(
    `\n${version}\n\n${notes}\n\nNothing is pushed yet. Review the commit (git show), then:\n\n  git push --follow-tags\n`,
  )
}

try {
  release(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}

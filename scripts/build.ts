/**
 * Builds the programs into `dist/`: each with all that it imports in a few files, because Node needs longer to find and
 * open 1,400 modules than to run them. The directory can be copied to wherever they are to run. `--out DIR` builds in a
 * new directory.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  globSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { env } from 'node:process'
import { parseArgs } from 'node:util'
import { rolldown } from 'rolldown'

/**
 * Programs, threads and the process of a refresh. The code finds the file of a thread beside its own, so all files
 * lie in one directory, and threads have the names of their sources.
 */
const ENTRIES = {
  tts: 'src/cli/main.ts',
  certcache: 'src/certcache/main.ts',
  'signing-thread': 'src/signing/signing-thread.ts',
  'key-thread': 'src/signing/key-thread.ts',
  'sqlite-worker': 'src/store/sqlite/sqlite-worker.ts',
  'refresh-process': 'src/refresh-helper/refresh-process.ts',
}

const root = resolve(import.meta.dirname, '..')
const { out } = parseArgs({ options: { out: { type: 'string' } } }).values
const directory = out === undefined ? join(root, 'dist') : resolve(out)
// Only our own directory is emptied; another one must be new.
if (out === undefined) rmSync(directory, { recursive: true, force: true })
mkdirSync(directory)

const build = await rolldown({
  cwd: root,
  input: ENTRIES,
  platform: 'node',
  // Of pg, which tries whether it is installed.
  external: ['pg-native'],
  onLog(level, log, handle) {
    if (level === 'warn') throw new Error(log.message)
    handle(level, log)
  },
})
const { output } = await build.write({
  dir: directory,
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
  sourcemap: true,
})
await build.close()

const { name, version, license, type, engines } = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8'),
) as Readonly<Record<string, unknown>>
const description = { name, version, ...provenance(), license, type, private: true, engines }
writeFileSync(join(directory, 'package.json'), `${JSON.stringify(description, null, 2)}\n`)

for (const program of ['tts.js', 'certcache.js']) chmodSync(join(directory, program), 0o755)
// With its cache there, a run adds to it what it has compiled; unless a variable names another cache.
const cache = join(directory, 'compile-cache')
mkdirSync(cache)
for (const program of ['tts.js', 'certcache.js'])
  execFileSync(process.execPath, [join(directory, program), '--version'], { env: {} })
// The programs make private files; the user that runs them later must be able to read these.
for (const file of globSync('*/*', { cwd: cache })) chmodSync(join(cache, file), 0o644)

const modules = output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []))
writeFileSync(join(directory, 'third-party-licenses.txt'), licences(packagesOf(modules)))

/** The commit, and the time: SOURCE_DATE_EPOCH, if it is set, so that a build can be repeated byte by byte. */
function provenance() {
  const { SOURCE_DATE_EPOCH: epoch } = env
  const at = epoch === undefined ? new Date() : new Date(Number(epoch) * 1000)
  const git = (...words: string[]): string =>
    execFileSync('git', words, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim()
  try {
    const changes = git('status', '--porcelain', '--untracked-files=no')
    const commit = `${git('rev-parse', 'HEAD')}${changes === '' ? '' : '-dirty'}`
    return { commit, builtAt: at.toISOString() }
  } catch {
    // Not a checkout, or there is no git.
    return { builtAt: at.toISOString() }
  }
}

/** Directories of the packages that the modules are from. */
function packagesOf(ids: readonly string[]): readonly string[] {
  const found = ids.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id) ?? [])
  return [...new Set(found)].toSorted()
}

/** Their licences, which ask to be passed on with copies of the code. */
function licences(packages: readonly string[]): string {
  return packages
    .map((path) => {
      const { name, version, license } = JSON.parse(
        readFileSync(join(path, 'package.json'), 'utf8'),
      ) as Readonly<Record<'name' | 'version' | 'license', string>>
      const texts = readdirSync(path)
        .filter((file) => /^(licen[cs]e|notice|copying)/i.test(file))
        .map((file) => readFileSync(join(path, file), 'utf8').trim())
      return [`${name} ${version} (${license})`, ...texts].join('\n\n')
    })
    .join(`\n\n${'-'.repeat(80)}\n\n`)
    .concat('\n')
}

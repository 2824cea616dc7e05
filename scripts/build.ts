/**
 * Builds the programs into `dist/`: each with all that it imports in a few files, because Node needs longer to find and
 * open 1,400 modules than to run them. The directory can be copied to wherever they are to run. `--out DIR` builds in a
 * new directory. `--with-node` says that this Node goes with them: it is on the bill of materials then.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { billOfMaterials } from './bill-of-materials.ts'
import { startBundle } from './bundling.ts'
import { provenanceOf } from './provenance.ts'
import { licencesOf, packagesOf } from './third-party.ts'

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
const { out, 'with-node': hasNode } = parseArgs({
  options: { out: { type: 'string' }, 'with-node': { type: 'boolean', default: false } },
}).values
const directory = out === undefined ? join(root, 'dist') : resolve(out)
// Only our own directory is emptied; another one must be new.
if (out === undefined) rmSync(directory, { recursive: true, force: true })
mkdirSync(directory)

const build = await startBundle(root, ENTRIES)
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
) as Readonly<Record<'name' | 'version' | 'license' | 'type', string>> & { engines: unknown }
const made = provenanceOf(root)
const description = { name, version, ...made, license, type, private: true, engines }
writeFileSync(join(directory, 'package.json'), `${JSON.stringify(description, null, 2)}\n`)

for (const program of ['tts.js', 'certcache.js']) chmodSync(join(directory, program), 0o755)
// With its cache there, a run adds to it what it has compiled; unless a variable names another cache.
const cache = join(directory, 'compile-cache')
mkdirSync(cache)
for (const program of ['tts.js', 'certcache.js'])
  execFileSync(process.execPath, [join(directory, program), '--version'], { env: {} })
// The programs make private files; the user that runs them later must be able to read these.
for (const file of globSync('*/*', { cwd: cache })) chmodSync(join(cache, file), 0o644)

const packages = packagesOf(output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : [])))
const contents = { packages, lockFile: join(root, 'package-lock.json'), hasNode }
const bill = billOfMaterials({ name, version, license, ...made }, contents)
writeFileSync(join(directory, 'bill-of-materials.cdx.json'), bill)
writeFileSync(join(directory, 'third-party-licenses.txt'), licencesOf(packages))

/**
 * The single executable file: Node with both programs in it, for workers and laptops without Node. See
 * https://nodejs.org/docs/latest-v24.x/api/single-executable-applications.html
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { billOfMaterials, type Built } from '../bill-of-materials.ts'
import { startBundle } from '../bundling.ts'
import { packagesOf } from '../third-party.ts'
import type { Workshop } from './workshop.ts'

/** Threads are assets by the names under which `src/base/own-code.ts` asks for them. */
const ENTRIES = {
  main: 'src/single-file/main.ts',
  'signing-thread': 'src/signing/signing-thread.ts',
  'key-thread': 'src/signing/key-thread.ts',
  'sqlite-worker': 'src/store/sqlite/sqlite-worker.ts',
} as const

/** Node looks for this string, and whether a 1 follows it. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'

export async function singleFile({ root, node, dist, work, out }: Workshop): Promise<void> {
  const modules: string[] = []
  for (const [name, source] of Object.entries(ENTRIES))
    modules.push(...(await bundle(root, source, join(work, `${name}.js`))))
  const { main: _, ...threads } = ENTRIES
  const assets = {
    'package.json': join(dist, 'package.json'),
    ...Object.fromEntries(Object.keys(threads).map((name) => [name, join(work, `${name}.js`)])),
  }
  const blob = join(work, 'blob')
  const settings = {
    main: join(work, 'main.js'),
    output: blob,
    disableExperimentalSEAWarning: true,
    useCodeCache: true,
    assets,
  }
  writeFileSync(join(work, 'settings.json'), JSON.stringify(settings))
  execFileSync(node, ['--experimental-sea-config', join(work, 'settings.json')], { stdio: 'pipe' })

  const built = JSON.parse(readFileSync(join(dist, 'package.json'), 'utf8')) as Built
  const file = join(out, `tts-${built.version}-linux-${process.arch}`)
  copyFileSync(node, file)
  chmodSync(file, 0o755)
  // It warns of each section of Node that has no name.
  const postject = join(root, 'node_modules/postject/dist/cli.js')
  const words = [postject, file, 'NODE_SEA_BLOB', blob, '--sentinel-fuse', FUSE]
  execFileSync(node, words, { stdio: 'pipe' })
  const contents = { packages: packagesOf(modules), lockFile: join(root, 'package-lock.json') }
  writeFileSync(`${file}.cdx.json`, billOfMaterials(built, { ...contents, hasNode: true }))
}

/** Makes one CommonJS file of it; returns the modules in it. */
async function bundle(root: string, source: string, file: string): Promise<readonly string[]> {
  const build = await startBundle(root, source)
  const { output } = await build.write({ file, format: 'cjs', codeSplitting: false })
  await build.close()
  return output.flatMap((chunk) => (chunk.type === 'chunk' ? chunk.moduleIds : []))
}

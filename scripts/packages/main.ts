/**
 * `npm run packages [-- --out DIR] [--only npm,debian,single-file]`: makes what people install: the npm package, the
 * Debian packages, and the single executable file, each with its bill of materials, and SHA256SUMS. `--fast` compresses
 * less. All are for this kind of machine (x64 or arm64), with the Node of node_modules.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  createReadStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { debianPackages } from './debian.ts'
import { npmPackage } from './npm.ts'
import { singleFile } from './single-file.ts'
import { nodeOf } from './workshop.ts'

const makers = { npm: npmPackage, debian: debianPackages, 'single-file': singleFile } as const
type Kind = keyof typeof makers
const kinds = Object.keys(makers) as Kind[]

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    only: { type: 'string', default: kinds.join(',') },
    fast: { type: 'boolean', default: false },
  },
})
const wanted = values.only.split(',')
const unknown = wanted.filter((kind) => !kinds.includes(kind as Kind))
if (unknown.length > 0)
  throw new Error(`--only: "${unknown.join(',')}" must be of ${kinds.join(', ')}`)

const root = resolve(import.meta.dirname, '../..')
const node = nodeOf(root)
const out = values.out === undefined ? join(root, 'packages') : resolve(values.out)
// Only our own directory is emptied; another one must be new.
if (values.out === undefined) rmSync(out, { recursive: true, force: true })
mkdirSync(out)
const temporary = mkdtempSync(join(tmpdir(), 'tts-packages-'))
try {
  const dist = join(temporary, 'dist')
  execFileSync(node, [join(root, 'scripts/build.ts'), '--with-node', '--out', dist])
  for (const kind of kinds.filter((each) => wanted.includes(each))) {
    const work = join(temporary, kind)
    mkdirSync(work)
    await makers[kind]({ root, node, dist, work, out, isFast: values.fast })
  }
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
const names = readdirSync(out).toSorted()
const sums = await Promise.all(
  names.map(async (name) => `${await digestOf(join(out, name))}  ${name}\n`),
)
writeFileSync(join(out, 'SHA256SUMS'), sums.join(''))
process.stdout.write(`${[...names, 'SHA256SUMS'].map((name) => join(out, name)).join('\n')}\n`)

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

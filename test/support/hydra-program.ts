/** The Hydra that tests run: how it gets into the cache of this checkout. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { goProblem, type GoVersion } from './go.ts'
import { findProgram } from './grid-tools.ts'

/** Its go.mod is the only place that names the version. */
const moduleDirectory = join(import.meta.dirname, '../providers/hydra/module')
const cache = join(import.meta.dirname, '../../node_modules/.cache')

/** That of the go.mod of Hydra's dependencies. No Debian release before 13 has it. */
const LEAST_GO: GoVersion = [1, 22]
/** A minute on an idle machine with two cores. */
const BUILD_TIMEOUT_MS = 900_000
/** Hydra keeps data in memory with SQLite, which needs a C compiler. */
const BUILD_TAGS = 'sqlite,sqlite_omit_load_extension'

/** The path of the program, or why there is none; `isFault`: everything that it needs is on this machine. */
export type HydraProgram =
  { readonly program: string } | { readonly missing: string; readonly isFault: boolean }

const run = promisify(execFile)

/**
 * Returns the Hydra of the cache. The first call on a machine downloads its source from the Go module proxy and builds
 * it. Never throws.
 */
export async function buildHydra(): Promise<HydraProgram> {
  const program = join(cache, `hydra-${versionKey()}`)
  if (existsSync(program)) return { program }
  const needs = await missingTools()
  if (needs !== undefined) return { missing: needs, isFault: false }
  await mkdir(cache, { recursive: true })
  const directory = await mkdtemp(join(cache, 'hydra-building-'))
  try {
    await cp(moduleDirectory, directory, { recursive: true })
    // Adds the dependencies to the copy of go.mod. Go checks each against the checksum database.
    const words = ['build', '-mod=mod', '-trimpath', '-ldflags', '-s -w', '-tags', BUILD_TAGS]
    await run('go', [...words, '-o', 'hydra', '.'], {
      cwd: directory,
      env: { ...process.env, CGO_ENABLED: '1', GOWORK: 'off' },
      timeout: BUILD_TIMEOUT_MS,
      maxBuffer: 16 * 1024 * 1024,
    })
    // Replaces the equal result of another run.
    await rename(join(directory, 'hydra'), program)
    return { program }
  } catch (error) {
    return { missing: `Hydra cannot be built: ${String(error)}`, isFault: true }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** Changes with each file of the module. */
function versionKey(): string {
  const hash = createHash('sha256').update(BUILD_TAGS)
  for (const name of readdirSync(moduleDirectory).toSorted())
    hash.update(`\0${name}\0`).update(readFileSync(join(moduleDirectory, name)))
  return hash.digest('hex').slice(0, 16)
}

async function missingTools(): Promise<string | undefined> {
  const problem = await goProblem('Hydra', LEAST_GO)
  if (problem !== undefined) return problem
  const { stdout } = await run('go', ['env', 'CC'], { timeout: 30_000 })
  const compiler = stdout.trim()
  return findProgram(compiler) === undefined ? `the C compiler ${compiler} is missing` : undefined
}

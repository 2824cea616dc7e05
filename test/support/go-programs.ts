/** Programs in Go that tests run: how they get into the cache of this checkout. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { goProblem, type GoVersion } from './go.ts'

const cache = join(import.meta.dirname, '../../node_modules/.cache')
const run = promisify(execFile)

export interface GoModule {
  /** For messages, and for the directory in the cache. */
  readonly name: string
  /** Its go.mod is the only place that names the versions. */
  readonly directory: string
  readonly packages: readonly string[]
  readonly leastGo: GoVersion
  /** Further arguments of `go build`. */
  readonly buildOptions?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** Returns what else than Go is missing on this machine. */
  readonly missingTool?: () => Promise<string | undefined>
  /** Default 900000. */
  readonly timeoutMs?: number
}

/** Where the programs are, or why there are none; `isFault`: everything that they need is on this machine. */
export type GoPrograms =
  { readonly directory: string } | { readonly missing: string; readonly isFault: boolean }

/**
 * Returns the directory with the programs. The first call in a checkout builds them with the cache of the Go command,
 * which belongs to the user; the first one on a machine also downloads the source from the Go module proxy. Never
 * throws.
 */
export async function buildGoPrograms(module: GoModule): Promise<GoPrograms> {
  const { name, packages, buildOptions = [], environment = {}, timeoutMs = 900_000 } = module
  const built = join(cache, `${name}-${versionKey(module)}`)
  if (existsSync(built)) return { directory: built }
  const problem = (await goProblem(name, module.leastGo)) ?? (await module.missingTool?.())
  if (problem !== undefined) return { missing: problem, isFault: false }
  await mkdir(cache, { recursive: true })
  const directory = await mkdtemp(join(cache, `${name}-building-`))
  try {
    await cp(module.directory, directory, { recursive: true })
    await mkdir(join(directory, 'programs'))
    // Go checks what it downloads against go.sum, and what is not in there against the checksum database.
    const words = ['build', '-mod=mod', '-trimpath', ...buildOptions, '-o', 'programs/']
    await run('go', [...words, ...packages], {
      cwd: directory,
      env: { ...process.env, GOWORK: 'off', ...environment },
      timeout: timeoutMs,
      maxBuffer: 16 * 1024 * 1024,
    })
    await rename(join(directory, 'programs'), built)
    return { directory: built }
  } catch (error) {
    // Another run was faster: its result is equal.
    if (existsSync(built)) return { directory: built }
    return { missing: `${name} cannot be built: ${String(error)}`, isFault: true }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** The version of a module in the go.mod of a directory, without its `v`. */
export function goModuleVersion(directory: string, module: string): string {
  const words = readFileSync(join(directory, 'go.mod'), 'utf8').split(/\s+/)
  return words[words.indexOf(module) + 1]?.slice(1) ?? ''
}

/** Changes with each file of the module and with the way it is built. */
function versionKey({ directory, packages, buildOptions = [] }: GoModule): string {
  const hash = createHash('sha256').update(JSON.stringify([packages, buildOptions]))
  for (const name of readdirSync(directory).toSorted())
    hash.update(`\0${name}\0`).update(readFileSync(join(directory, name)))
  return hash.digest('hex').slice(0, 16)
}

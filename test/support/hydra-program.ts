/** The Hydra that tests run. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { buildGoPrograms } from './go-programs.ts'
import { findProgram } from './grid-tools.ts'

/** Hydra keeps data in memory with SQLite, which needs a C compiler. */
const BUILD_TAGS = 'sqlite,sqlite_omit_load_extension'

/** The path of the program, or why there is none; `isFault`: everything that it needs is on this machine. */
export type HydraProgram =
  { readonly program: string } | { readonly missing: string; readonly isFault: boolean }

/** Returns the Hydra of the cache; the first call on a machine builds it, in a minute if it is idle. Never throws. */
export async function buildHydra(): Promise<HydraProgram> {
  const built = await buildGoPrograms({
    name: 'hydra',
    directory: join(import.meta.dirname, '../providers/hydra/module'),
    packages: ['.'],
    // That of the go.mod of Hydra's dependencies. No Debian release before 13 has it.
    leastGo: [1, 22],
    buildOptions: ['-ldflags', '-s -w', '-tags', BUILD_TAGS],
    environment: { CGO_ENABLED: '1' },
    missingTool: missingCompiler,
  })
  return 'missing' in built ? built : { program: join(built.directory, 'hydra') }
}

async function missingCompiler(): Promise<string | undefined> {
  const { stdout } = await promisify(execFile)('go', ['env', 'CC'], { timeout: 30_000 })
  const compiler = stdout.trim()
  return findProgram(compiler) === undefined ? `the C compiler ${compiler} is missing` : undefined
}

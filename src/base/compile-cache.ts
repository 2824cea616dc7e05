/** What V8 compiled of the programs when they were built, so that it need not compile them at each start. */
import { existsSync } from 'node:fs'
import module from 'node:module'
import { join } from 'node:path'

/** Beside the built programs, where only who may change the programs may write; `scripts/build.ts` makes it. */
const directory = join(import.meta.dirname, 'compile-cache')

/**
 * Node ignores what another version of it compiled. Programs that run from their sources have no such cache.
 *
 * The module is imported as a whole: an import by name would fail on an old Node before its version is checked.
 */
export function useCompileCache(): void {
  if (existsSync(directory)) module.enableCompileCache({ directory, portable: true })
}

/** Packages of PyPI that tests run with the Python of Debian. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { missingPackages } from './grid-tools.ts'

const TIMEOUT_MS = 300_000
/** Not one of PATH: a Debian of its own must be able to run the packages, too. */
export const PYTHON = '/usr/bin/python3'
const cache = join(import.meta.dirname, '../../node_modules/.cache')
const run = promisify(execFile)

/** A directory for PYTHONPATH, or why there is none; `isFault`: a machine for all tests should have it. */
export type PythonPackages =
  { readonly directory: string } | { readonly missing: string; readonly isFault: boolean }

/**
 * Returns the directory in the cache. The first call downloads; later ones find it. Never throws.
 *
 * @param requirements with exact versions: `tosca-parser==2.15.0`
 */
export async function installPythonPackages(
  requirements: readonly string[],
): Promise<PythonPackages> {
  const key = createHash('sha256').update(JSON.stringify(requirements)).digest('hex').slice(0, 12)
  const directory = join(cache, `python-${key}`)
  if (existsSync(directory)) return { directory }
  const lacking = missingPackages(['python3-pip'])
  if (lacking.length > 0)
    return { missing: `Debian package missing: ${lacking.join(' ')}`, isFault: true }
  await mkdir(cache, { recursive: true })
  const work = await mkdtemp(join(cache, 'python-making-'))
  try {
    const quiet = ['--quiet', '--disable-pip-version-check', '--no-compile']
    const words = ['-m', 'pip', 'install', ...quiet, '--target', join(work, 'packages')]
    await run(PYTHON, [...words, ...requirements], { timeout: TIMEOUT_MS })
    // Another run may have finished the same work first.
    await rename(join(work, 'packages'), directory).catch((error: unknown) => {
      if (!existsSync(directory)) throw error
    })
    return { directory }
  } catch (error) {
    return {
      missing: `${requirements.join(' ')} cannot be installed: ${String(error)}`,
      isFault: true,
    }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

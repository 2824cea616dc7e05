/** FTS3's own client in Python, as the project publishes it on PyPI; its libraries are Debian's. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { missingPackages, runTool, type ToolRun } from './grid-tools.ts'
import { downloadCache } from './maven.ts'

const FTS = {
  version: '3.14.2',
  sha256: '28528f3656f156dd7cddb02ce82bb88cbaa8ab635d899aa2b97aa838d080bfd4',
} as const

const WHEEL = `fts3-${FTS.version}-py3-none-any.whl`
const TIMEOUT_MS = 60_000
/** Debian's, whose libraries are Debian's too; another one may come first in the path. */
const PYTHON = '/usr/bin/python3'

const run = promisify(execFile)

/** A wheel that Python imports as it is, or why there is none. */
export type FtsClient = { readonly wheel: string } | { readonly missing: string }

/** Returns the client of the cache; the first call on a machine downloads it. Never throws. */
export async function installFtsClient(): Promise<FtsClient> {
  const missing = missingPackages(['python3-m2crypto', 'python3-requests', 'python3-pip'])
  if (missing.length > 0) return { missing: `Debian package missing: ${missing.join(' ')}` }
  const wheel = join(downloadCache, WHEEL)
  if (existsSync(wheel)) return { wheel }
  await mkdir(downloadCache, { recursive: true })
  const directory = await mkdtemp(join(downloadCache, 'pypi-'))
  try {
    const requirements = join(directory, 'requirements.txt')
    await writeFile(requirements, `fts3==${FTS.version} --hash=sha256:${FTS.sha256}\n`)
    const options = ['--no-deps', '--require-hashes', '--disable-pip-version-check', '-q']
    const words = ['-m', 'pip', 'download', ...options, '-d', directory, '-r', requirements]
    await run(PYTHON, words, { cwd: directory, timeout: TIMEOUT_MS })
    await rename(join(directory, WHEEL), wheel)
    return { wheel }
  } catch (error) {
    const [line = ''] = /^ERROR: .*$/m.exec(String(error)) ?? [String(error)]
    return { missing: `PyPI's fts3 ${FTS.version} cannot be had: ${line}` }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** Runs one of its commands: `Delegator` is fts-rest-delegate, `WhoAmI` is fts-rest-whoami. */
export function runFtsClient(
  wheel: string,
  command: 'Delegator' | 'WhoAmI',
  { words, env }: { readonly words: readonly string[]; readonly env: Record<string, string> },
): Promise<ToolRun> {
  const program = `import sys; from fts3.cli import ${command}; ${command}()(sys.argv[1:])`
  return runTool(PYTHON, ['-c', program, ...words], { ...env, PYTHONPATH: wheel })
}

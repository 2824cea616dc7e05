/** The grid tools that tests run: where they are, which Debian package brings them, and how they are run. */
import { execFile } from 'node:child_process'
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

/** Debian packages with what tests need of each: programs, libraries by name, other files by path. */
export const debianPackages: Readonly<Record<string, readonly string[]>> = JSON.parse(
  readFileSync(new URL('debian-packages.json', import.meta.url), 'utf8'),
) as Record<string, string[]>

/** Servers are in sbin, which is not in everyone's path. */
const programDirectories = [
  ...(process.env['PATH'] ?? '').split(':').filter((directory) => directory !== ''),
  '/usr/local/sbin',
  '/usr/sbin',
  '/sbin',
]

function isThere(path: string): boolean {
  try {
    accessSync(path, constants.R_OK)
    return true
  } catch {
    return false
  }
}

/** Path of a program; undefined when it is not installed. */
export function findProgram(name: string): string | undefined {
  return programDirectories.map((directory) => join(directory, name)).find(isThere)
}

/** Directory of a library, Debian's multi-arch ones included. */
export function findLibraryDirectory(name: string): string | undefined {
  const triplets = readdirSync('/usr/lib').filter((entry) => entry.endsWith('-linux-gnu'))
  const directories = ['/usr/lib', '/usr/lib64', ...triplets.map((entry) => `/usr/lib/${entry}`)]
  return directories.find((directory) => isThere(join(directory, name)))
}

/** Which of these Debian packages are not installed, or not wholly. */
export function missingPackages(packages: readonly string[]): readonly string[] {
  return packages.filter((name) => (debianPackages[name] ?? []).some((part) => !isInstalled(part)))
}

function isInstalled(part: string): boolean {
  if (part.startsWith('/')) return isThere(part)
  return part.includes('.so')
    ? findLibraryDirectory(part) !== undefined
    : findProgram(part) !== undefined
}

/**
 * Tests that run tools of these Debian packages. Where some are missing there is one skipped test that names them; with
 * TTS_TEST_REQUIRE_TOOLS=1 it fails.
 */
export function describeWithTools(
  name: string,
  packages: readonly string[],
  cases: () => void,
): void {
  const missing = missingPackages(packages)
  if (missing.length === 0) {
    describe(name, cases)
    return
  }
  const required = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'
  describe.skipIf(!required)(name, () => {
    test(`NOT RUN: Debian package missing: ${missing.join(' ')}`, () => {
      expect(missing, 'Debian packages that TTS_TEST_REQUIRE_TOOLS asks for').toEqual([])
    })
  })
}

/** What a tool did. */
export interface ToolRun {
  /** Exit code; -1 when it was ended at its deadline, or could not be started. */
  readonly status: number
  /** Standard output and error, together. */
  readonly output: string
}

/** Runs a tool to its end, with no more of our environment than it needs; never throws. */
export function runTool(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ToolRun> {
  const options = {
    // Nothing of the user's own (~/.globus, proxies in /tmp) may help a tool.
    env: { PATH: programDirectories.join(':'), HOME: '/nonexistent', LC_ALL: 'C', ...env },
    timeout: 20_000,
    killSignal: 'SIGKILL',
    maxBuffer: 4 * 1024 * 1024,
  } as const
  return new Promise((resolve) => {
    execFile(program, [...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({ status: code, output: `${stdout}${stderr}` })
    })
  })
}

/** Files of Maven Central that tests run, fetched by Maven and kept in the cache of this checkout. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify, stripVTControlCharacters } from 'node:util'

/** A file on Maven Central. */
export interface MavenFile {
  readonly group: string
  readonly name: string
  readonly version: string
  readonly type: 'jar' | 'zip'
  readonly sha256: string
}

const DOWNLOAD_TIMEOUT_MS = 300_000

/** What tests download is kept here. */
export const downloadCache = join(import.meta.dirname, '../../node_modules/.cache')

const run = promisify(execFile)

/** Downloads a file into the directory. @returns its path @throws {Error} also when its digest is another */
export async function downloadFromMaven(file: MavenFile, directory: string): Promise<string> {
  const { group, name, version, type, sha256 } = file
  const artifact = `${group}:${name}:${version}:${type}`
  await run(
    'mvn',
    ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${directory}`],
    // Not in a directory with a pom.xml.
    { cwd: directory, timeout: DOWNLOAD_TIMEOUT_MS },
  )
  const path = join(directory, fileName(file))
  const digest = await hashOf(path)
  if (digest !== sha256)
    throw new Error(`${fileName(file)} has the SHA-256 ${digest}, expected ${sha256}`)
  return path
}

/** Returns the paths of these files in the cache, or why they cannot be had. Never throws. */
export async function cachedMavenFiles(
  files: readonly MavenFile[],
): Promise<{ readonly paths: readonly string[] } | { readonly missing: string }> {
  try {
    const paths: string[] = []
    for (const file of files) paths.push(await cachedMavenFile(file))
    return { paths }
  } catch (error) {
    return { missing: reasonOf(error) }
  }
}

async function cachedMavenFile(file: MavenFile): Promise<string> {
  const kept = join(downloadCache, fileName(file))
  if (existsSync(kept) && (await hashOf(kept)) === file.sha256) return kept
  await mkdir(downloadCache, { recursive: true })
  const directory = await mkdtemp(join(downloadCache, 'maven-'))
  try {
    // Another test run may have renamed the same file first.
    await rename(await downloadFromMaven(file, directory), kept)
    return kept
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

const fileName = ({ name, version, type }: MavenFile): string => `${name}-${version}.${type}`

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

/** One line: the first error that Maven printed, otherwise the message. */
export function reasonOf(error: unknown): string {
  const output = error instanceof Error && 'stdout' in error ? String(error.stdout) : ''
  const reason = /\[ERROR\][^\n]*/.exec(stripVTControlCharacters(output))?.[0] ?? String(error)
  return reason.replaceAll(/\s+/g, ' ').trim()
}

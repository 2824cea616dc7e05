/** The Keycloak that tests run: its version, and how it gets into the cache of this checkout. */
import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify, stripVTControlCharacters } from 'node:util'
import { missingPackages } from './grid-tools.ts'

/** The only place that names the version. `sha256` is that of the zip file on Maven Central. */
const KEYCLOAK = {
  version: '26.7.3',
  sha256: '27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f',
} as const

/** Keycloak 26 needs it. */
const LEAST_JAVA = 17
const DOWNLOAD_TIMEOUT_MS = 300_000
const BUILD_TIMEOUT_MS = 180_000

const cache = join(import.meta.dirname, '../../node_modules/.cache')

/** Options that Keycloak compiles in. `start --optimized` then starts twice as fast as `start-dev`. */
const BUILD_OPTIONS = ['--db=dev-mem']

/** The directory of a Keycloak that is ready to start, or why there is none. */
export type KeycloakInstallation = { readonly home: string } | { readonly missing: string }

const run = promisify(execFile)

/**
 * Returns the Keycloak of the cache. The first call on a machine downloads it with Maven and builds it, which takes
 * about half a minute. Never throws.
 */
export async function installKeycloak(): Promise<KeycloakInstallation> {
  const missing = missingPackages(['default-jre-headless', 'maven', 'unzip'])
  if (missing.length > 0) return { missing: `Debian package missing: ${missing.join(' ')}` }
  const java = javaVersion()
  if (java < LEAST_JAVA)
    return { missing: `Keycloak needs Java ${LEAST_JAVA} or later; \`java\` is version ${java}` }
  const home = join(cache, `keycloak-${KEYCLOAK.version}`)
  if (existsSync(home)) return { home }
  await mkdir(cache, { recursive: true })
  const directory = await mkdtemp(join(cache, 'keycloak-installing-'))
  try {
    await moveIntoPlace(await buildIn(directory), home)
    return { home }
  } catch (error) {
    return { missing: `Keycloak ${KEYCLOAK.version} cannot be installed: ${reasonOf(error)}` }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** One line: the first error that Maven printed, otherwise the message. */
function reasonOf(error: unknown): string {
  const output = error instanceof Error && 'stdout' in error ? String(error.stdout) : ''
  const reason = /\[ERROR\][^\n]*/.exec(stripVTControlCharacters(output))?.[0] ?? String(error)
  return reason.replaceAll(/\s+/g, ' ').trim()
}

/** Major version of `java`; 0 if its output has none. */
function javaVersion(): number {
  const { stderr } = spawnSync('java', ['-version'], { encoding: 'utf8', timeout: 30_000 })
  return Number(/version "(?:1\.)?(\d+)/.exec(stderr)?.[1] ?? 0)
}

async function buildIn(directory: string): Promise<string> {
  const name = `keycloak-quarkus-dist-${KEYCLOAK.version}.zip`
  const artifact = `org.keycloak:keycloak-quarkus-dist:${KEYCLOAK.version}:zip`
  await run(
    'mvn',
    ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${directory}`],
    // Not in a directory with a pom.xml.
    { cwd: directory, timeout: DOWNLOAD_TIMEOUT_MS },
  )
  const zip = join(directory, name)
  const sha256 = await hashOf(zip)
  if (sha256 !== KEYCLOAK.sha256)
    throw new Error(`${name} has the SHA-256 ${sha256}, expected ${KEYCLOAK.sha256}`)
  await run('unzip', ['-q', zip, '-d', directory], { timeout: DOWNLOAD_TIMEOUT_MS })
  const built = join(directory, `keycloak-${KEYCLOAK.version}`)
  await run(join(built, 'bin/kc.sh'), ['build', ...BUILD_OPTIONS], { timeout: BUILD_TIMEOUT_MS })
  return built
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

/** Another test run may have finished the same work first: both results are equal. */
async function moveIntoPlace(built: string, home: string): Promise<void> {
  try {
    await rename(built, home)
  } catch (error) {
    if (!existsSync(home)) throw error
  }
}

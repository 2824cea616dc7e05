/** The Keycloak that tests run: its version, and how it gets into the cache of this checkout. */
import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { missingPackages } from './grid-tools.ts'
import { downloadCache as cache, downloadFromMaven, reasonOf } from './maven.ts'

/** The only place that names the version. `sha256` is that of the zip file on Maven Central. */
const KEYCLOAK = {
  version: '26.7.3',
  sha256: '27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f',
} as const

/** Keycloak 26 needs it. */
const LEAST_JAVA = 17
const UNZIP_TIMEOUT_MS = 300_000
const BUILD_TIMEOUT_MS = 180_000

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

/** Major version of `java`; 0 if its output has none. */
function javaVersion(): number {
  const { stderr } = spawnSync('java', ['-version'], { encoding: 'utf8', timeout: 30_000 })
  return Number(/version "(?:1\.)?(\d+)/.exec(stderr)?.[1] ?? 0)
}

async function buildIn(directory: string): Promise<string> {
  const { version, sha256 } = KEYCLOAK
  const group = 'org.keycloak'
  const distribution = {
    group,
    name: 'keycloak-quarkus-dist',
    version,
    type: 'zip',
    sha256,
  } as const
  const zip = await downloadFromMaven(distribution, directory)
  await run('unzip', ['-q', zip, '-d', directory], { timeout: UNZIP_TIMEOUT_MS })
  const built = join(directory, `keycloak-${KEYCLOAK.version}`)
  await run(join(built, 'bin/kc.sh'), ['build', ...BUILD_OPTIONS], { timeout: BUILD_TIMEOUT_MS })
  return built
}

/** Another test run may have finished the same work first: both results are equal. */
async function moveIntoPlace(built: string, home: string): Promise<void> {
  try {
    await rename(built, home)
  } catch (error) {
    if (!existsSync(home)) throw error
  }
}

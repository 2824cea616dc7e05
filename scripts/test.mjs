/**
 * `npm test`: installs the Debian packages for tests with real grid tools, or prints which ones are missing if it
 * must not install them. Then it runs the tests, prints the number of skipped tests, and on the last line the numbers
 * of passed and failed ones.
 *
 * Arguments are passed to vitest: `npm test -- test/ca/name.test.ts`. TTS_TEST_NO_INSTALL=1 installs nothing.
 * TTS_TEST_REQUIRE_TOOLS=1 makes a missing tool a failure. TTS_TEST_COUNTS is the path of a file for the counts.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const packages = Object.keys(
  JSON.parse(readFileSync(join(root, 'test/support/debian-packages.json'), 'utf8')),
)

const isInstalled = (name) =>
  spawnSync('dpkg-query', ['-W', '-f', '${db:Status-Status}', name], { encoding: 'utf8' })
    .stdout === 'installed'

function printBanner(lines) {
  const rule = '='.repeat(78)
  process.stderr.write(`\n${rule}\n${lines.join('\n')}\n${rule}\n\n`)
}

function installMissing() {
  const missing = packages.filter((name) => !isInstalled(name))
  if (missing.length === 0) return
  const mayInstall =
    process.getuid?.() === 0 &&
    existsSync('/usr/bin/apt-get') &&
    process.env.TTS_TEST_NO_INSTALL !== '1'
  if (!mayInstall) {
    printBanner([
      'Tests with real grid tools, PostgreSQL and Keycloak will be SKIPPED: these Debian packages',
      `are missing, and this script must not install them: ${missing.join(' ')}`,
      `Install them as root:  apt-get install --no-install-recommends ${missing.join(' ')}`,
    ])
    return
  }
  process.stderr.write(`Installing for the tests: ${missing.join(' ')}\n`)
  const options = {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  }
  spawnSync('apt-get', ['update', '-q'], options)
  const { status } = spawnSync(
    'apt-get',
    ['install', '-y', '-q', '--no-install-recommends', ...missing],
    options,
  )
  if (status !== 0)
    printBanner([
      `apt-get could not install ${missing.join(' ')}; tests that need them are skipped.`,
    ])
}

function runTests(argv) {
  const directory = mkdtempSync(join(tmpdir(), 'tts-test-run-'))
  const report = join(directory, 'report.json')
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const { status } = spawnSync(
    process.execPath,
    [
      vitest,
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...argv,
    ],
    { stdio: 'inherit', cwd: root },
  )
  const counts = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : undefined
  rmSync(directory, { recursive: true, force: true })
  return { status: status ?? 1, counts }
}

/** Prints the slowest test files, with their time in seconds. */
function printSlowest(testResults, count = 10) {
  const slowest = testResults
    .map(({ name, startTime, endTime }) => ({
      name: relative(root, name),
      seconds: (endTime - startTime) / 1000,
    }))
    .toSorted((one, other) => other.seconds - one.seconds)
    .slice(0, count)
  process.stdout.write(`\nslowest files, in seconds:\n`)
  for (const { name, seconds } of slowest)
    process.stdout.write(`${seconds.toFixed(1).padStart(8)}  ${name}\n`)
}

/** Prints which programs of others judged our files: their versions are in the names of tests, as `[helm 4.3.2]`. */
function printJudges(testResults) {
  const passed = testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status }) => status === 'passed')
  const judges = passed.flatMap(({ fullName }) =>
    Array.from(fullName.matchAll(/\[([A-Za-z][\w./-]* \d+(?:\.\d+)+)\]/g), ([, judge]) => judge),
  )
  const sorted = [...new Set(judges)].toSorted((one, other) => one.localeCompare(other))
  if (sorted.length > 0) process.stdout.write(`\njudged by: ${sorted.join(', ')}\n`)
}

installMissing()
const { status, counts } = runTests(process.argv.slice(2))
const passed = counts?.numPassedTests ?? 0
// A test file that cannot be loaded has no failed tests, but is a failure too.
const failed = counts ? Math.max(counts.numFailedTests, status === 0 ? 0 : 1) : 1
const skipped = counts ? counts.numPendingTests + counts.numTodoTests : 0
if (counts) {
  printSlowest(counts.testResults)
  printJudges(counts.testResults)
}
if (skipped > 0)
  printBanner([`${skipped} tests were SKIPPED; their names above say what is missing.`])
if (process.env.TTS_TEST_COUNTS)
  writeFileSync(process.env.TTS_TEST_COUNTS, JSON.stringify({ passed, failed, skipped }))
process.stdout.write(`\n${passed} passed, ${failed} failed\n`)
process.exitCode = status === 0 && failed === 0 && passed > 0 ? 0 : 1

/** The scripts of a release, run by npm in a repository of their own. */
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const HEAD = '# Changelog\n\nAll notable changes.\n\n'
const OLD = '## 0.1.0 - 2026-11-01\n\nThe first version.\n'
const NOTES = '### Added\n\n- A bell.\n'

// Settings of the npm that runs the tests, and of the person who does, must not reach the one that is tested.
const environment = {
  ...Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(npm_|GIT_)/i.test(name)),
  ),
  PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}`,
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Test',
  GIT_AUTHOR_EMAIL: 'test@example.org',
  GIT_COMMITTER_NAME: 'Test',
  GIT_COMMITTER_EMAIL: 'test@example.org',
  npm_config_update_notifier: 'false',
}

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-release-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const path = (name: string): string => join(directory, name)
const read = (name: string): string => readFileSync(path(name), 'utf8')
const version = (): unknown => (JSON.parse(read('package.json')) as { version: string }).version

function git(...args: readonly string[]): string {
  return execFileSync('git', args, { cwd: directory, env: environment, encoding: 'utf8' }).trim()
}

function npm(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync('npm', args, {
    cwd: directory,
    env: environment,
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

/** @param ci what `.ci/run` does */
function repository(unreleased: string, ci = 'echo ci ran'): void {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  const { preversion, version, release } = scripts
  const manifest = { name: 'example', version: '0.1.0', type: 'module', private: true }
  writeFileSync(
    path('package.json'),
    JSON.stringify({ ...manifest, scripts: { preversion, version, release } }, null, 2),
  )
  writeFileSync(path('CHANGELOG.md'), `${HEAD}## Unreleased\n\n${unreleased}${OLD}`)
  cpSync(join(root, 'scripts'), path('scripts'), { recursive: true })
  mkdirSync(path('.ci'))
  writeFileSync(path('.ci/run'), `#!/bin/sh\n${ci}\n`, { mode: 0o755 })
  git('init', '--quiet', '--initial-branch=main')
  git('add', '--all')
  git('commit', '--quiet', '--message=start')
}

function expectNothingReleased(): void {
  expect([version(), git('tag'), git('log', '--format=%s')]).toEqual(['0.1.0', '', 'start'])
}

describe('npm version', () => {
  test('dates the notes, commits them and tags the commit', () => {
    repository(`${NOTES}\n`)
    expect(npm('version', 'minor')).toMatchObject({ status: 0 })
    expect(read('CHANGELOG.md').replace(/(?<=0\.2\.0 - )\d{4}-\d\d-\d\d/, 'DATE')).toBe(
      `${HEAD}## Unreleased\n\n## 0.2.0 - DATE\n\n${NOTES}\n${OLD}`,
    )
    expect([git('tag'), git('status', '--porcelain')]).toEqual(['v0.2.0', ''])
    expect(git('show', '--format=', '--name-only').split('\n')).toEqual([
      'CHANGELOG.md',
      'package.json',
    ])
  })

  test.for([
    ['nothing', ''],
    ['headings only', '### Added\n\n### Fixed\n\n'],
  ] as const)('refuses when Unreleased has %s, and changes nothing', ([, unreleased]) => {
    repository(unreleased)
    const { status, stderr } = npm('version', 'patch')
    expect([status === 0, stderr]).toEqual([false, expect.stringContaining('is empty')])
    expect(git('status', '--porcelain')).toBe('')
    expectNothingReleased()
  })

  test('refuses a version that has a section already', () => {
    repository(`${NOTES}\n## 0.1.1 - 2026-11-02\n\n- Odd.\n\n`)
    const { status, stderr } = npm('version', 'patch')
    expect([status === 0, stderr]).toEqual([false, expect.stringContaining('"## 0.1.1" already')])
  })
})

describe('npm run release', () => {
  test('runs CI, makes the version and prints its notes and what to do next', () => {
    repository(`${NOTES}\n`)
    const { status, stdout } = npm('run', 'release', '--', 'minor')
    expect(status).toBe(0)
    expect(stdout).toContain('ci ran')
    expect(stdout).toContain(`\n0.2.0\n\n${NOTES}`)
    expect(stdout).toContain('git push --follow-tags')
    expect(git('log', '--format=%s').split('\n')).toEqual(['chore(release): 0.2.0', 'start'])
    expect(git('tag')).toBe('v0.2.0')
  })

  test('--skip-ci releases where there is no .ci/run', () => {
    repository(`${NOTES}\n`)
    rmSync(path('.ci'), { recursive: true })
    git('commit', '--quiet', '--all', '--amend', '--message=start')
    const { status, stderr } = npm('run', 'release', '--', 'patch')
    expect([status === 0, stderr]).toEqual([false, expect.stringContaining('--skip-ci')])
    expectNothingReleased()
    expect(npm('run', 'release', '--', 'patch', '--skip-ci').status).toBe(0)
    expect(version()).toBe('0.1.1')
  })

  interface Refusal {
    readonly name: string
    readonly unreleased?: string
    readonly ci?: string
    readonly prepare?: () => void
    readonly args?: readonly string[]
    readonly says: string
  }
  const refusals: readonly Refusal[] = [
    { name: 'no kind of version', args: [], says: 'usage:' },
    { name: 'a version by number', args: ['1.2.3'], says: 'usage:' },
    { name: 'two kinds', args: ['minor', 'patch'], says: 'usage:' },
    { name: 'another branch', prepare: () => git('switch', '-qc', 'topic'), says: 'is topic' },
    { name: 'no branch', prepare: () => git('switch', '-q', '--detach'), says: 'is not a branch' },
    { name: 'changed files', prepare: () => writeFileSync(path('x'), ''), says: 'has changes' },
    { name: 'no notes', unreleased: '', says: 'is empty' },
    { name: 'a CI that fails', ci: 'exit 1', says: 'nothing was released' },
    { name: 'a CI that leaves files changed', ci: 'echo >> CHANGELOG.md', says: 'not clean' },
  ]
  test.for(refusals)('refuses $name', ({ unreleased, ci, prepare, args = ['minor'], says }) => {
    repository(unreleased ?? `${NOTES}\n`, ci)
    prepare?.()
    const { status, stderr } = npm('run', 'release', '--', ...args)
    expect([status === 0, stderr]).toEqual([false, expect.stringContaining(says)])
    expectNothingReleased()
  })
})

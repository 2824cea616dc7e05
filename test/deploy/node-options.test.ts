/** The options of Node with which operators start the service: everywhere the same, and such that Node takes them. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const optionsIn = (line: string): readonly string[] => line.match(/--[a-z-]+-space-size=\d+/g) ?? []
const lineOf = (text: string, pattern: RegExp): string => pattern.exec(text)?.[0] ?? ''
const wanted = optionsIn(lineOf(read('package.json'), /^ *"tts": "node .*$/m))

describe('options of Node for the service', () => {
  test.for([
    ['Dockerfile', /^ENTRYPOINT .*$/m],
    ['docs/operations.md', /^ExecStart=.*$/m],
    ['deploy/systemd/tts.service', /^# Without the Debian package: .*$/m],
    ['scripts/packages/debian.ts', /nodeOptions: \['--.*$/m],
    ['bench/service.ts', /^const NODE_FLAGS = .*$/m],
  ] as const)('%s has those of package.json', ([path, pattern]) => {
    expect(optionsIn(lineOf(read(path), pattern))).toEqual(wanted)
  })

  test('Node takes them', async () => {
    expect(wanted).toHaveLength(2)
    const run = promisify(execFile)(process.execPath, [...wanted, '-p', '"started"'])
    await expect(run).resolves.toMatchObject({ stdout: 'started\n' })
  })

  test('none is in NODE_OPTIONS, where Node takes few', () => {
    for (const path of ['Dockerfile', 'docs/operations.md'])
      expect(read(path)).not.toContain('NODE_OPTIONS')
  })
})

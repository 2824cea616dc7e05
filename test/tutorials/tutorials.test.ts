/** The tutorials, run as they are written, with the real programs. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chromiumPackages } from '../support/chromium.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { programPath } from '../support/programs.ts'
import { createPerson } from './person.ts'
import { runTutorial } from './run-tutorial.ts'

const tutorials = resolve(import.meta.dirname, '../../docs/tutorials')
let directory = ''
const built = (): string => join(directory, 'dist')
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tts-tutorials-'))
  await promisify(execFile)(process.execPath, [programPath('scripts/build.ts'), '--out', built()])
}, 60_000)
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const inTerminal = ['worker.md', 'cron.md', 'service.md', 'operator.md']

test('there is no tutorial that does not run here', () => {
  expect(readdirSync(tutorials).toSorted()).toEqual([...inTerminal, 'browser.md'].toSorted())
})

describeWithTools('in a terminal', ['openssl', 'curl', 'jq'], () => {
  test.concurrent.for(inTerminal)('%s', { timeout: 120_000 }, async (name) => {
    await runTutorial(join(tutorials, name), { built: built() })
  })
})

describeWithTools('with a browser', ['curl', ...chromiumPackages], () => {
  test('browser.md', { timeout: 120_000 }, async () => {
    const path = join(tutorials, 'browser.md')
    const { acts, close } = await createPerson(path)
    try {
      await runTutorial(path, { built: built(), acts })
    } finally {
      await close()
    }
  })
})

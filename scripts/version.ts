/**
 * `npm version` runs this script twice: `check` before it changes package.json, because npm does not undo that change
 * when a later step fails; `close` before it commits and tags.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { closeUnreleased, notesOf } from './changelog.ts'

const step = process.argv[2]
const changelog = readFileSync('CHANGELOG.md', 'utf8')
try {
  if (step === 'check') notesOf(changelog)
  else if (step === 'close') {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    const date = new Date().toISOString().slice(0, 10)
    writeFileSync('CHANGELOG.md', closeUnreleased(changelog, { version, date }))
    execFileSync('git', ['add', 'CHANGELOG.md'])
  } else throw new Error('usage: node scripts/version.ts check|close')
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}

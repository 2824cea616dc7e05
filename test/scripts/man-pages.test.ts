/** Man pages, judged by the programs that read them. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describedPrograms } from '../../scripts/programs.ts'
import { commandsBelow } from '../../src/cli/completion/commands.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { programPath } from '../support/programs.ts'

const commands = Object.values(describedPrograms('0.0.0-test')).flatMap((each) =>
  commandsBelow(each),
)
let directory = ''
const pages = (): readonly string[] =>
  readdirSync(join(directory, 'man1')).map((name) => join(directory, 'man1', name))
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-man-pages-'))
  execFileSync(process.execPath, [programPath('scripts/write-man-pages.ts'), directory])
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

test('there is a page for each command', () => {
  const names = commands.map(({ words }) => `${words.join('-')}.1`).toSorted()
  expect(names.length).toBeGreaterThan(60)
  expect(readdirSync(join(directory, 'man1')).toSorted()).toEqual(names)
})

describeWithTools('man pages', ['groff-base', 'mandoc'], () => {
  test('groff and mandoc have no warning', () => {
    const groff = spawnSync('groff', ['-ww', '-man', '-Tutf8', '-z', ...pages()], {
      encoding: 'utf8',
    })
    expect({ status: groff.status, stderr: groff.stderr }).toEqual({ status: 0, stderr: '' })
    const words = ['-T', 'lint', '-W', 'warning', ...pages()]
    const mandoc = spawnSync('mandoc', words, { encoding: 'utf8' })
    expect({ status: mandoc.status, out: mandoc.stdout + mandoc.stderr }).toEqual({
      status: 0,
      out: '',
    })
  })

  test('a page has each option, as it can be copied', () => {
    for (const { words, command } of commands) {
      const path = join(directory, 'man1', `${words.join('-')}.1`)
      const shown = execFileSync('mandoc', ['-T', 'ascii', '-O', 'width=200', path], {
        encoding: 'utf8',
      })
      // Bold letters are printed twice, with a backspace between.
      const parts = shown.split('\b')
      const plain = [
        ...parts.slice(0, -1).map((part) => part.slice(0, -1)),
        ...parts.slice(-1),
      ].join('')
      for (const { long } of command.options) expect(plain, words.join(' ')).toContain(long)
      for (const child of command.commands)
        expect(plain).toContain(`${[...words, child.name()].join('-')}(1)`)
    }
  })

  test('examples stay as they are', () => {
    const path = join(directory, 'man1/tts-proxy-init.1')
    const shown = execFileSync('mandoc', ['-T', 'ascii', '-O', 'width=200', path], {
      encoding: 'utf8',
    })
    expect(shown).toContain(
      'BEARER_TOKEN=$(oidc-token --aud https://tts.example.org iam) tts proxy init --url https://tts.example.org\n',
    )
  })
})

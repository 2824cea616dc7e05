/** Completions of both programs, judged by the shells that read them. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describedPrograms } from '../../../scripts/programs.ts'
import { completedCommands } from '../../../src/cli/completion/commands.ts'
import { completionFileName, completionFor, shells } from '../../../src/cli/completion/shells.ts'
import { describeWithTools } from '../../support/grid-tools.ts'
import { programPath } from '../../support/programs.ts'
import { runTts } from '../../support/terminal.ts'
import { proposals } from './shells.ts'

const programs = describedPrograms('0.0.0-test')
let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-completion-'))
  mkdirSync(join(directory, 'files/anchors'), { recursive: true })
  writeFileSync(join(directory, 'files/proxy.pem'), '')
  for (const shell of shells) {
    mkdirSync(join(directory, shell))
    for (const program of Object.values(programs)) {
      const path = join(directory, shell, completionFileName(shell, program.name()))
      writeFileSync(path, completionFor(shell, program))
    }
  }
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const table: readonly (readonly [line: string, proposed: readonly string[]])[] = [
  ['tts pro', ['proxy', 'provider']],
  ['tts proxy ', ['init', 'info', 'destroy']],
  ['tts proxy init --ke', ['--key-type', '--key-format']],
  ['tts proxy init --type ', ['impersonation', 'limited', 'independent']],
  ['tts proxy init --type=l', ['limited']],
  ['tts proxy init --type=', ['impersonation', 'limited', 'independent']],
  ['tts proxy init --url ', []],
  ['tts proxy init --out p', ['proxy.pem']],
  ['tts proxy init -o p', ['proxy.pem']],
  ['tts --config ca ca roll-over ', ['prepare', 'activate', 'finish']],
  ['tts --config=ca ca roll-over ', ['prepare', 'activate', 'finish']],
  ['tts ca roll-over prepare --lifetime-days 3 --sub', ['--subject']],
  ['tts -c x ban add --su', ['--sub', '--subject']],
  ['tts -c proxy i', ['import-watts']],
  ['tts plugin test p.py --conf a=b --con', ['--conf', '--config']],
  ['tts proxy info p', ['proxy.pem']],
  ['tts proxy info --as=root p', ['proxy.pem']],
  ['tts ca export ', ['anchors']],
  ['tts delegation show ', []],
  ['tts nonsense ', []],
  ['tts ca nonsense ', []],
  ['tts --json ca --config x ro', ['roll-over']],
  ['tts completion ', ['bash', 'zsh', 'fish']],
  ['certcache refresh --state ', ['anchors']],
  ['certcache s', ['serve', 'status']],
  ['certcache status --js', ['--json']],
  ['certcache completion f', ['fish']],
]

for (const shell of shells)
  describeWithTools(`completion in ${shell}`, shell === 'bash' ? [] : [shell], () => {
    let answers: readonly string[][] = []
    beforeAll(() => {
      const lines = table.map(([line]) => line)
      answers = proposals[shell]({ directory }, lines)
    }, 60_000)

    test.for(table.map(([line, proposed], index) => ({ line, proposed, index })))(
      '$line: $proposed',
      ({ proposed, index }) => {
        expect(answers[index]?.toSorted()).toEqual(proposed.toSorted())
      },
    )

    test('every command and every option is proposed', () => {
      const commands = Object.values(programs).flatMap(completedCommands)
      const lines = commands.flatMap(({ words }) => [
        `${words.join(' ')} --`,
        `${words.join(' ')} `,
      ])
      const all = proposals[shell]({ directory }, lines)
      for (const [index, { words, options, children }] of commands.entries()) {
        const longs = options.map(({ long }) => long)
        expect(all[2 * index]?.toSorted(), words.join(' ')).toEqual(longs.toSorted())
        const names = children.map(({ name }) => name)
        if (names.length > 0)
          expect(all[2 * index + 1]?.toSorted(), words.join(' ')).toEqual(names.toSorted())
      }
    }, 60_000)

    test('its source is what `tts completion` and `certcache completion` print', () => {
      for (const program of ['tts', 'certcache'] as const) {
        const main = programPath(program === 'tts' ? 'src/cli/main.ts' : 'src/certcache/main.ts')
        const printed = execFileSync(process.execPath, [main, 'completion', shell], {
          encoding: 'utf8',
        })
        expect(printed).toBe(completionFor(shell, programs[program]))
        expect(printed).not.toContain('node')
      }
    })

    test('it has no syntax error', () => {
      for (const program of ['tts', 'certcache']) {
        const path = join(directory, shell, completionFileName(shell, program))
        const { status, stderr } = spawnSync(shell, ['-n', path], { encoding: 'utf8' })
        expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
      }
    })
  })

describeWithTools('the completion for bash', ['shellcheck'], () => {
  test('has no warning', () => {
    for (const name of ['tts', 'certcache']) {
      const path = join(directory, 'bash', name)
      const words = ['-s', 'bash', '-S', 'warning', '-e', 'SC2207', path]
      const { status, stdout } = spawnSync('shellcheck', words, { encoding: 'utf8' })
      expect({ status, stdout }).toEqual({ status: 0, stdout: '' })
    }
  })
})

test.for([
  { words: ['completion'], says: "missing required argument 'shell'" },
  { words: ['completion', 'tcsh'], says: 'Allowed choices are bash, zsh, fish.' },
])('tts $words: exit code 2', async ({ words, says }) => {
  const { code, out, notes } = await runTts(words)
  expect({ code, out }).toEqual({ code: 2, out: '' })
  expect(notes).toContain(says)
})

/** Man pages and completions for bash, judged by the programs that read them. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { commandsBelow, describedPrograms } from '../../scripts/programs.ts'
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

describe('completion in bash', () => {
  /** What bash proposes for the last word of a command line. */
  function completions(words: readonly string[]): readonly string[] {
    const cwd = join(directory, 'files')
    mkdirSync(join(cwd, 'anchors'), { recursive: true })
    writeFileSync(join(cwd, 'proxy.pem'), '')
    const [program = ''] = words
    const script = [
      `. "${join(directory, 'bash-completion', program)}"`,
      'COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))',
      `_${program}`,
      '[ "${#COMPREPLY[@]}" = 0 ] || printf "%s\\n" "${COMPREPLY[@]}"',
    ].join('\n')
    const out = execFileSync('bash', ['-uc', script, 'bash', ...words], { cwd, encoding: 'utf8' })
    return out.split('\n').filter((line) => line !== '')
  }

  test.for([
    [
      ['tts', 'pro'],
      ['proxy', 'provider'],
    ],
    [
      ['tts', 'proxy', ''],
      ['init', 'info', 'destroy'],
    ],
    [
      ['tts', 'proxy', 'init', '--ke'],
      ['--key-type', '--key-format'],
    ],
    [
      ['tts', 'proxy', 'init', '--type', ''],
      ['impersonation', 'limited', 'independent'],
    ],
    [['tts', 'proxy', 'init', '--type', '=', 'l'], ['limited']],
    [
      ['tts', 'proxy', 'init', '--type', '='],
      ['impersonation', 'limited', 'independent'],
    ],
    [['tts', 'proxy', 'init', '--url', ''], []],
    [['tts', 'proxy', 'init', '--out', 'p'], ['proxy.pem']],
    [
      ['tts', '--config', 'ca', 'ca', 'roll-over', ''],
      ['prepare', 'activate', 'finish'],
    ],
    [
      ['tts', '-c', 'x', 'ban', 'add', '--su'],
      ['--sub', '--subject'],
    ],
    [['tts', 'proxy', 'info', 'p'], ['proxy.pem']],
    [['tts', 'ca', 'export', ''], ['anchors']],
    [['tts', 'nonsense', 'in'], []],
    [['certcache', 'refresh', '--state', ''], ['anchors']],
    [
      ['certcache', 's'],
      ['serve', 'status'],
    ],
    [['certcache', 'status', '--js'], ['--json']],
  ] as const)('%j: %j', ([words, proposed]) => {
    expect(completions(words)).toEqual(proposed)
  })

  describeWithTools('its source', ['shellcheck'], () => {
    test('has no warning', () => {
      for (const name of ['tts', 'certcache']) {
        const path = join(directory, 'bash-completion', name)
        const words = ['-s', 'bash', '-S', 'warning', '-e', 'SC2207', path]
        const { status, stdout } = spawnSync('shellcheck', words, { encoding: 'utf8' })
        expect({ status, stdout }).toEqual({ status: 0, stdout: '' })
        expect(readFileSync(path, 'utf8')).not.toContain('node')
      }
    })
  })
})

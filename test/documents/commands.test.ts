/** Every command of ours that a document shows exists, with the options and values that it has there. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { describedPrograms } from '../../scripts/programs.ts'
import { translateGridFlags } from '../../src/cli/grid-flags.ts'
import { commandProblem } from './command-problem.ts'
import { commandsIn, shellWords } from './named-commands.ts'

const root = resolve(import.meta.dirname, '../..')
const programs: Readonly<Record<string, Command>> = describedPrograms('0.0.0-test')
const isCommand = (program: string, name: string): boolean =>
  programs[program]?.commands.some((each) => each.name() === name) ?? false

/** First lines of texts that holders of a proxy sign. */
const SIGNED_TEXTS = new Set(['tts access token v1', 'tts successor v1'])

/** What is wrong with the commands of a Markdown text, one line each. */
function problemsIn(markdown: string): readonly string[] {
  return commandsIn(markdown, isCommand).flatMap(({ line, program, words, isComplete }) => {
    const tree = programs[program]
    if (tree === undefined || SIGNED_TEXTS.has([program, ...words].join(' '))) return []
    const problem = commandProblem(tree, translateGridFlags(words), { isComplete })
    return problem === undefined ? [] : [`${line}: ${program} ${words.join(' ')}: ${problem}`]
  })
}

const documents = execFileSync('git', ['ls-files', '*.md'], { cwd: root, encoding: 'utf8' })
  .trim()
  .split('\n')
  // The notes of releases name options as they were.
  .filter((path) => path !== 'CHANGELOG.md')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

test.for(documents)('%s', (path) => {
  expect(problemsIn(read(path))).toEqual([])
})

test('the documents name many commands', () => {
  const named = documents.flatMap((path) => commandsIn(read(path), isCommand))
  expect(named.filter(({ isComplete }) => isComplete).length).toBeGreaterThan(100)
  expect(named.length).toBeGreaterThan(350)
})

const block = (...lines: readonly string[]): string => ['```sh', ...lines, '```', ''].join('\n')

test.for([
  ['an unknown command', block('tts foo'), '2: tts foo: tts has no command foo'],
  ['an unknown command below one', '`tts ca foo`', '1: tts ca foo: tts ca has no command foo'],
  [
    'an unknown option',
    block('x | tts check --foo'),
    '2: tts check --foo: tts check has no option --foo',
  ],
  ['in a substitution', block('a=$(tts my foo)'), '2: tts my foo: tts my has no command foo'],
  [
    'after a variable',
    block('A="b c" certcache foo'),
    '2: certcache foo: certcache has no command foo',
  ],
  [
    'after a path',
    block('23 * * * * grid /usr/bin/certcache refresh --foo'),
    '2: certcache refresh --foo: certcache refresh has no option --foo',
  ],
  [
    'on the next line',
    block('tts proxy \\', '  foo'),
    '2: tts proxy foo: tts proxy has no command foo',
  ],
  [
    'a value that is no choice',
    block('tts proxy init --type full'),
    '2: tts proxy init --type full: --type must be one of impersonation, limited, independent, not full',
  ],
  [
    'a missing value',
    block('tts proxy init --out'),
    '2: tts proxy init --out: --out needs a value',
  ],
  [
    'a missing operand',
    block('tts credential show'),
    '2: tts credential show: tts credential show needs id',
  ],
  ['an operand too many', block('tts serve now'), '2: tts serve now: tts serve does not take now'],
  [
    'one of several commands',
    '`tts credential list|foo`',
    '1: tts credential list|foo: tts credential has no command foo',
  ],
] as const)('%s is found', ([, markdown, problem]) => {
  expect(problemsIn(markdown)).toEqual([problem])
})

test.for([
  ['options of the program', block('tts --config tts.yaml --json ca show')],
  ['the same after the command', block('tts ca show --config=tts.yaml')],
  ['flags of grid tools', block('tts proxy init -valid 12:00 -limited')],
  ['a placeholder', '`tts ban add --subject DN` and `tts credential show ID`'],
  ['what a program prints', ['```text', 'tts foo', '```'].join('\n')],
  ['a script of npm', block('npm run -s tts -- proxy info')],
  ['what ends a command', block('tts check 2>/dev/null && tts serve >log & # tts foo')],
  [
    'a user called tts',
    block(
      'install -o tts -g tts file',
      'useradd -g tts --system tts',
      'systemctl restart tts && nginx -t',
    ),
  ],
  ['what is no code, and other programs', 'tts foo and `systemctl reload tts`'],
] as const)('%s is no problem', ([, markdown]) => {
  expect(problemsIn(markdown)).toEqual([])
})

test.for([
  ['a "b c" \'d e\'', ['a', 'b c', 'd e']],
  ['--file <(x --y z) $(a (b) c)d', ['--file', '<(x --y z)', '$(a (b) c)d']],
  ['a\\ b <FILE> | c', ['a\\ b', '<FILE>']],
  ['a 2>b', ['a']],
  ['a#b #c', ['a#b']],
] as const)('%j has the words %j', ([text, words]) => {
  expect(shellWords(text)).toEqual(words)
})

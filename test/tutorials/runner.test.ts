/** The runner of tutorials itself: what it reads, what it compares, and what it refuses. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { outputDifference } from './expected-output.ts'
import { readTutorial, withFreePorts } from './markdown.ts'
import { boldTexts } from './person.ts'
import { runTutorial } from './run-tutorial.ts'

let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-tutorial-runner-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const fence = (language: string, ...lines: readonly string[]): string =>
  ['```' + language, ...lines, '```', ''].join('\n')

describe('what it reads', () => {
  test('commands with their lines and headings, and the output after them', () => {
    const markdown = [
      '# Title\n',
      fence('sh', 'one', '', 'two'),
      'Text between.\n',
      fence('text', 'printed'),
      '## Next\n',
      fence('sh', 'three'),
      fence('json', '{}'),
      fence('sh', 'four'),
    ].join('\n')
    expect(readTutorial(markdown)).toEqual([
      { line: 4, heading: 'Title', commands: ['one', '', 'two'], output: ['printed'] },
      { line: 18, heading: 'Next', commands: ['three'], output: ['{}'] },
      { line: 26, heading: 'Next', commands: ['four'] },
    ])
  })

  test.for([
    ['a block after another heading', [fence('sh', 'one'), '## Next\n', fence('text', 'x')]],
    ['the second block of text', [fence('sh', 'one'), fence('yaml', 'a: 1'), fence('text', 'x')]],
    ['a block before all commands', [fence('text', 'x'), fence('sh', 'one')]],
  ] as const)('%s is not output', ([, parts]) => {
    const [block] = readTutorial(parts.join('\n'))
    expect(block).toMatchObject({ commands: ['one'] })
    expect(block).not.toHaveProperty('output')
  })

  test.for([
    ['```\none\n```\n', 'line 1: a block without a language'],
    ['text\n```sh\none\n', 'line 2: the block is not closed'],
  ] as const)('%j is refused', ([markdown, message]) => {
    expect(() => readTutorial(markdown)).toThrow(message)
  })

  test('a port that is set in a line of its own becomes a free one everywhere', async () => {
    const markdown = [fence('sh', 'port=8081', 'curl 127.0.0.1:8081 18081'), fence('text', ':8081')]
    const [block] = await withFreePorts(readTutorial(markdown.join('\n')), async () => 40_001)
    expect(block?.commands).toEqual(['port=40001', 'curl 127.0.0.1:40001 18081'])
    expect(block?.output).toEqual([':40001'])
  })

  test('texts in bold, of one section', () => {
    const markdown =
      '## A\n**a**\n## B\n**What just happened.** x **two\nlines** **b**\n## C\n**c**\n'
    expect(boldTexts(markdown, 'B')).toEqual(['two lines', 'b'])
  })
})

describe('what it compares', () => {
  test.for([
    [
      ['a', 'b'],
      ['a', 'b'],
    ],
    [['a…'], ['a']],
    [['a…b…c'], ['a1b2c']],
    [['…'], []],
    [
      ['…', 'b'],
      ['a', 'a', 'b'],
    ],
    [
      ['a', '…', 'b', '…'],
      ['a', 'x', 'b', 'b', 'c'],
    ],
    [['…b'], ['abb']],
  ] as const)('%j fits %j', ([expected, printed]) => {
    expect(outputDifference(expected, printed)).toBeUndefined()
  })

  test.for([
    [['a'], ['b'], 'line 1 of the output is "b", expected "a"'],
    [['a'], [], 'line 1 of the output is no line, expected "a"'],
    [['a'], ['a', 'b'], 'line 2 of the output is "b", expected no line'],
    [['…', 'b'], ['a'], 'line 2 of the output is no line, expected "b"'],
    [['ab…bc'], ['abc'], 'line 1 of the output is "abc", expected "ab…bc"'],
    [['a…b…c'], ['acb'], 'line 1 of the output is "acb", expected "a…b…c"'],
    [['a.c'], ['abc'], 'line 1 of the output is "abc", expected "a.c"'],
  ] as const)('%j does not fit %j', ([expected, printed, difference]) => {
    expect(outputDifference(expected, printed)).toBe(difference)
  })
})

describe('what it runs', () => {
  const build = fence('sh', 'npm ci && npm run -s build')
  const run = async (...parts: readonly string[]): Promise<string> => {
    const path = join(directory, 'tutorial.md')
    writeFileSync(path, ['# T', build, ...parts].join('\n'))
    const failed = (error: unknown): string => (error as Error).message
    return runTutorial(path, { built: directory, graceMs: 300 }).then(() => 'passed', failed)
  }

  test('blocks in one shell, in a new home', async () => {
    const first = fence('sh', 'name=alice', 'cd "$(mktemp -d)"', 'touch here', 'sleep 60 &')
    const second = fence('sh', 'ls', 'echo "$name in $HOME" >&2', 'kill $! && wait || true')
    const output = fence('text', 'here', 'alice in …/home')
    expect(await run(first, second, output)).toBe('passed')
  })

  test.for([
    [
      'a command that fails',
      ['echo before', 'false', 'echo after'],
      /^line 7.*the command at line 8 ended with exit code 1\n[^]*printed:\nbefore\n$/,
    ],
    ['a function that fails', ['f() { return 3; }', 'f'], /^line 7.*ended with exit code 3/],
    ['exit', ['exit 0'], /^line 7.*ended with exit code 1/],
    ['a program that is not there', ['no-such-program'], /exit code 127\n[^]*not found/],
    [
      'other output',
      ['echo one'],
      /^line 7, "T": line 1 of the output is "one", expected "two"/,
      'two',
    ],
    ['what is left behind', ['sleep 61 &'], /^still running: sleep 61$/],
    ['a shell syntax error', ['if'], /^line 7.*exit code [12]/],
  ] as const)('%s is a failure', async ([, commands, message, output]) => {
    const shown = output === undefined ? [] : [fence('text', output)]
    expect(await run(fence('sh', ...commands), ...shown)).toMatch(message)
  })

  test('a person who would have nothing to do is a failure, and so is another first block', async () => {
    const path = join(directory, 'person.md')
    const acts = { Elsewhere: async () => undefined }
    writeFileSync(path, build)
    await expect(runTutorial(path, { built: directory, acts })).rejects.toThrow(
      'no block is under the heading Elsewhere',
    )
    writeFileSync(path, fence('sh', 'npm install'))
    await expect(runTutorial(path, { built: directory })).rejects.toThrow('the first block is not')
  })
})

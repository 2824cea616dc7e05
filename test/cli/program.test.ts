import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { describe, expect, test } from 'vitest'
import { errorTable } from '../../src/api/error-codes.ts'
import { createOpenApi } from '../../src/api/openapi/document.ts'
import { exitCodes } from '../../src/cli/exit-codes.ts'
import { createProgram } from '../../src/cli/program.ts'
import { runTts } from '../support/terminal.ts'

const program = createProgram(
  {
    environment: {},
    uid: 0,
    now: () => new Date(),
    out: () => undefined,
    note: () => undefined,
    exitWith: () => undefined,
  },
  { version: '0.0.0-test' },
)

interface Known {
  /** Words after `tts`. */
  readonly words: readonly string[]
  readonly command: Command
}

function walk(command: Command, words: readonly string[] = []): readonly Known[] {
  const below = command.commands.flatMap((child) => walk(child, [...words, child.name()]))
  return [{ words, command }, ...below]
}
const all = walk(program).map((known) => ({ ...known, name: ['tts', ...known.words].join(' ') }))
const leaves = all.filter(({ command }) => command.commands.length === 0)

describe('help', () => {
  test('there are as many commands as there must be', () => {
    expect(leaves.map(({ words }) => words.join(' '))).toEqual([
      'serve',
      'check',
      'ca init',
      'ca show',
      'ca export',
      'ca crl',
      'ca csr',
      'ca install',
      'ca renew',
      'ca roll-over prepare',
      'ca roll-over activate',
      'ca roll-over finish',
      'ca adopt',
      'voms export',
      'credential list',
      'credential show',
      'credential revoke',
      'credential archived',
      'delegation list',
      'delegation show',
      'delegation revoke',
      'audit',
      'ban add',
      'ban list',
      'ban lift',
      'authz explain',
      'proxy init',
      'proxy info',
      'proxy destroy',
      'my credentials list',
      'my credentials revoke',
      'provider probe',
      'master-key rotate',
      'master-key add',
      'master-key prune',
      'master-key forget',
      'access-token-key replace',
      'backup',
      'restore',
      'import-watts',
      'plugin test',
      'version',
      'completion',
      'ssh-ca init',
      'ssh-ca show',
      'ssh-ca krl',
      'ssh-ca adopt',
    ])
  })

  test.for(all)('$name --help teaches', async ({ words, command }) => {
    const { code, out, notes } = await runTts([...words, '--help'])
    expect({ code, notes }).toEqual({ code: 0, notes: '' })
    expect(out).toContain(`Usage: tts ${words.join(' ')}`.trimEnd())
    expect(out).toMatch(/Examples?:|Try it out:/)
    for (const { long } of command.options) expect(out).toContain(long)
    // The options that all commands take are told too.
    for (const option of ['--config <FILE>', '--json']) expect(out).toContain(option)
  })

  test.for(all)('$name says what it and its options are', ({ command }) => {
    expect(command.description()).toMatch(/\w{3}/)
    for (const option of command.options) {
      expect(option.description).toMatch(/\w{3}/)
      // `--valid TIME` would be a switch that takes no value.
      expect(option.flags).toMatch(/^(-\w, )?--[a-z-]+( <[A-Z]+>)?$/)
    }
  })

  test.for([
    { words: [], code: 2 },
    { words: ['ca'], code: 2 },
    { words: ['no-such-command'], code: 2 },
    { words: ['ca', 'no-such-command'], code: 2 },
    { words: ['--version'], code: 0 },
    { words: ['help'], code: 0 },
    { words: ['help', 'ca'], code: 0 },
  ])('tts $words ends with $code', async ({ words, code }) => {
    const run = await runTts(words)
    expect(run.code).toBe(code)
    expect(run.out === '').toBe(code !== 0)
  })
})

describe('docs/command-line.md', () => {
  const written = readFileSync(new URL('../../docs/command-line.md', import.meta.url), 'utf8')
  // A comment of an example is no heading.
  const text = written.replace(/^# (?=the |a key|JSON)/gm, '')

  /** From a heading to the next one of its level or above. */
  function section(heading: string): string {
    const [line = '', ...rest] = text.slice(text.indexOf(`\n${heading}\n`) + 1).split('\n')
    expect(line, 'docs/command-line.md has no such heading').toBe(heading)
    const level = /^#+/.exec(heading)?.[0].length ?? 0
    const end = rest.findIndex((each) => (/^#+(?= )/.exec(each)?.[0].length ?? 9) <= level)
    return rest.slice(0, end < 0 ? undefined : end).join('\n')
  }

  test.for(leaves)('has $name with every argument, option and choice', ({ name, command }) => {
    const about = section(`### ${name}`)
    for (const { flags, argChoices, long } of command.options) {
      expect(about, `${long} is missing`).toContain(`\`${flags}\``)
      for (const choice of argChoices ?? []) expect(about).toContain(`\`${choice}\``)
    }
    for (const argument of command.registeredArguments)
      expect(about).toContain(argument.name().toUpperCase())
    // And no option that is not there any more.
    const known = new Set([...command.options, ...program.options].map(({ long }) => long))
    const rows = about.split('\n').filter((line) => line.startsWith('| `-'))
    for (const row of rows) expect(known).toContain(/(--[a-z-]+)/.exec(row)?.[1])
    expect(about).toMatch(/^```sh$/m)
  })

  test('has the options of all commands', () => {
    const about = section('## All commands')
    for (const { flags } of program.options) expect(about).toContain(`\`${flags}\``)
  })

  test('has the exit codes of src/cli/exit-codes.ts, and no other', () => {
    const rows = section('## Exit codes').matchAll(/^\| (\d+) +\| `(\w+)` +\|/gm)
    expect([...rows].map(([, code, name]) => [name, Number(code)])).toEqual(
      Object.entries(exitCodes),
    )
  })

  test('has the table of errors', () => {
    expect(section('## HTTP'), 'out of date: run `npm run docs`').toContain(errorTable())
  })

  test('has every path of /openapi.json', () => {
    const { paths } = createOpenApi(new Map(), {
      publicUrl: undefined,
      accessTokens: false,
      voms: [],
    }) as {
      paths: Record<string, object>
    }
    const about = section('## HTTP')
    for (const [path, methods] of Object.entries(paths))
      for (const method of Object.keys(methods))
        expect(about).toContain(`\`${method.toUpperCase()} ${path}\``)
  })
})

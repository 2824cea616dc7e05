/** `tts plugin test`, on the plugins of the other tests. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { runTts } from '../support/terminal.ts'

const fixture = (name: string): string => join(import.meta.dirname, '../plugins/fixtures', name)
const example = resolve(import.meta.dirname, '../../examples/plugins/python/service_account.py')
const directory = mkdtempSync(join(tmpdir(), 'tts-plugin-cli-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const pluginTest = (...words: string[]) => runTts(['plugin', 'test', ...words])

interface Result {
  readonly checks: readonly {
    readonly check: string
    readonly state: string
    readonly detail: string
  }[]
  readonly answers: Readonly<Record<string, { readonly state?: string }>>
}

describe('a sound program', () => {
  test('is only asked what it takes', async () => {
    const { code, out, notes } = await pluginTest(example)
    expect({ code, notes }).toEqual({ code: 0, notes: '' })
    expect(out.replace(/\d+ ms/, 'N ms')).toContain(`ok       program: ${example}
ok       parameter run: one JSON object after N ms
ok       parameter answer: version 1.0
ok       features.stdin: requests come on standard input
ok       conf_params: password_file=/var/lib/myservice/passwords.json
ok       request_params: [label]

answer to parameter:
{
  "result": "ok",`)
    expect(out).not.toContain('answer to request')
  })

  test('makes a credential and revokes it', async () => {
    const conf = ['--conf', `password_file=${join(directory, 'passwords.json')}`]
    const request = await pluginTest(
      example,
      ...conf,
      '--request',
      '--params',
      '{"label":"a"}',
      '--json',
    )
    expect(request.code).toBe(0)
    const { checks, answers } = JSON.parse(request.out) as Result
    // As root there is a warning besides, which has its own test.
    const others = checks.filter(({ check }) => check !== 'user')
    expect(others.map(({ state }) => state)).toEqual(others.map(() => 'ok'))
    expect(checks.at(-2)).toMatchObject({ detail: '2 entries: Username (text), Password (text)' })
    const state = answers['request']?.state ?? ''
    expect(state).toMatch(/^[0-9a-f]{16}$/)
    const revoke = await pluginTest(example, ...conf, '--revoke', state)
    expect(revoke.code).toBe(0)
    expect(revoke.out).toContain('ok       revoke answer: revoked\n')
  })

  test('that takes arguments gets a warning', async () => {
    const { code, out } = await pluginTest(fixture('argument-only.sh'), '--request')
    expect(code).toBe(0)
    expect(out).toMatch(/^warning {2}features.stdin: .*\n {9}-> .*allow_insecure_plugins: true\.$/m)
    expect(out).toContain('ok       request answer: 1 entries: Argument (text)')
  })

  test.for([
    {
      name: 'good-json-bad-exit.sh',
      line: /warning {2}request run: it exited with 3\n {9}-> Exit with 0/,
    },
    {
      name: 'names-of-streams.sh',
      line: /warning {2}request run: it wrote to standard error: the request has/,
    },
    { name: 'leaves-grandchild.py', line: /warning {2}request run: it left a process behind/ },
    {
      name: 'wants-login.py',
      line: /ok {7}request answer: a login at egi is required: log in there too/,
    },
    { name: 'deep.py', line: /"nested too deep to be shown"/ },
  ])('$name: what is odd is told', async ({ name, line }) => {
    const { code, out } = await pluginTest(fixture(name), '--request')
    expect(code).toBe(0)
    expect(out).toMatch(line)
  })
})

describe('a program that errs', () => {
  test.for([
    {
      name: 'crashes.py',
      check: 'request run',
      detail: /printed nothing \(exit code 1; .*RuntimeError/,
      remedy: /docs\/plugins.md/,
    },
    {
      name: 'chatter.sh',
      check: 'request run',
      detail: /is not one JSON object .*it printed: Connecting \.\.\. \{"result"/,
      remedy: /The answers/,
    },
    { name: 'no-state.sh', check: 'request answer', detail: /`state`/, remedy: /The answers/ },
    {
      name: 'entries.py',
      check: 'request answer',
      detail: /entry 2 was left out: its type is not text/,
      remedy: /The answers/,
    },
    {
      name: 'refuses.py',
      check: 'request answer',
      detail: /message for callers: you have no account here/,
      remedy: /for the log: the plugin says: no such user/,
    },
    {
      name: 'floods-stdout.py',
      check: 'request run',
      detail: /wrote more than 1048576 bytes/,
      remedy: /maximum_output_bytes/,
    },
    {
      name: 'hangs.sh',
      check: 'request run',
      detail: /stopped after 2 seconds/,
      remedy: /timeout_seconds/,
    },
    {
      name: 'parameter-errs.sh',
      check: 'parameter answer',
      detail: /the key of the CA is missing/,
      remedy: /The answers/,
    },
    { name: 'no-interpreter', check: 'program', detail: /names its interpreter/, remedy: /#!/ },
    { name: 'plugin.py', check: 'program', detail: /is not executable/, remedy: /chmod a\+rx/ },
  ])('$name: $check failed, with the remedy', async ({ name, check, detail, remedy }) => {
    const wait = name === 'hangs.sh' ? ['--wait', '2'] : []
    const { code, out } = await pluginTest(fixture(name), '--request', ...wait)
    expect(code).toBe(1)
    const [, told, what] =
      new RegExp(`^FAILED   ${check}: (.*)\\n {9}-> (.*)$`, 'm').exec(out) ?? []
    expect(told).toMatch(detail)
    expect(what).toMatch(remedy)
  })

  test('parameters that fit no set are not sent', async () => {
    const { code, out } = await pluginTest(example, '--request', '--params', '{"colour":"red"}')
    expect(code).toBe(1)
    expect(out).toMatch(
      /^FAILED {3}params: invalid parameter have been passed\n.*--params JSON\.$/m,
    )
    expect(out).not.toContain('request run')
  })

  test('a setting that the program does not know', async () => {
    const { code, out } = await pluginTest(example, '--conf', 'colour=red')
    expect(code).toBe(0)
    expect(out).toContain('warning  conf_params: colour is not declared by the program')
  })
})

test.for([
  { words: [join(directory, 'none')], code: 5, note: /the file .* does not exist/ },
  { words: [example, '--params', '{}'], code: 2, note: /needs --request/ },
  { words: [example, '--request', '--params', '{'], code: 2, note: /must be JSON/ },
  { words: [example, '--conf', 'novalue'], code: 2, note: /must have the form name=value/ },
  { words: [example, '--conf', 'A-b=c'], code: 2, note: /conf_params\.A-b/ },
  { words: [], code: 2, note: /missing required argument 'file'/ },
])('$words ends with $code', async ({ words, code, note }) => {
  const run = await pluginTest(...words)
  expect({ code: run.code, out: run.out }).toEqual({ code, out: '' })
  expect(run.notes).toMatch(note)
})

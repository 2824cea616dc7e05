/** The protocol without a program: what is asked, what answers mean, which parameters fit, who waits. */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { quoteForShell } from '../../plugins/executable/command.ts'
import { expandHome } from '../../plugins/executable/home-directory.ts'
import { encodeInput, encodeParameterInput, wattsUserId } from '../../plugins/executable/input.ts'
import {
  checkRequestParams,
  readParameterSets,
  resolveConfParams,
} from '../../plugins/executable/parameters.ts'
import {
  AnswerError,
  parseOutput,
  readParameterAnswer,
  readRequestAnswer,
  readRevokeAnswer,
} from '../../plugins/executable/protocol.ts'
import { executableSettings } from '../../plugins/executable/settings.ts'
import { PluginError } from '../../plugins/plugin.ts'
import { caller, firstValue, fixture, soon, startPlugin, useDirectory } from './support.ts'

const directory = useDirectory()
const decode = (text: string): unknown => JSON.parse(Buffer.from(text, 'base64url').toString())

describe('the input', () => {
  const input = {
    caller: {
      ...caller,
      claims: {
        ...caller.claims,
        iss: 'https://evil.example.org',
        sub: 'root',
        ...Object.fromEntries(
          'aud exp nbf iat jti azp kid auth_time at_hash c_hash'
            .split(' ')
            .map((name) => [name, 1]),
        ),
      },
      accessToken: 'the-token',
      additionalLogins: [
        {
          providerId: 'egi',
          issuer: 'https://egi',
          publishedIssuer: 'https://egi',
          sub: 'z',
          claims: { jti: 1 },
          accessToken: 'other',
        },
      ],
    },
    confParams: { host: 'a', debug: false },
    params: { key: ['any', { json: null }] },
    credState: undefined,
    passAccessToken: false,
  }

  test('of parameter', () => {
    expect(decode(encodeParameterInput())).toEqual({
      watts_version: '1.0.0',
      action: 'parameter',
      cred_state: 'undefined',
    })
  })

  test('of request: without what claims say of the token, and without the token', () => {
    expect(decode(encodeInput('request', input))).toEqual({
      watts_version: '1.0.0',
      action: 'request',
      cred_state: 'undefined',
      conf_params: { host: 'a', debug: false },
      params: { key: ['any', { json: null }] },
      watts_userid: wattsUserId(caller),
      user_info: {
        iss: caller.publishedIssuer,
        sub: caller.sub,
        email: 'zoë@example.org',
        groups: ['cms'],
        scope: 'openid profile',
        scope_list: ['openid', 'profile'],
      },
      additional_logins: [{ user_info: { iss: 'https://egi', sub: 'z' } }],
    })
  })

  test('of revoke, with tokens where they are passed', () => {
    const revoke = encodeInput('revoke', { ...input, credState: 's', passAccessToken: true })
    expect(decode(revoke)).toMatchObject({
      action: 'revoke',
      cred_state: 's',
      access_token: 'the-token',
      additional_logins: [{ user_info: { sub: 'z' }, access_token: 'other' }],
    })
  })

  test('is base64url without padding, whatever is in it', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (params) => {
        const text = encodeInput('request', { ...input, params })
        expect(text).toMatch(/^[A-Za-z0-9_-]+$/)
        expect(decode(text)).toMatchObject({ params: JSON.parse(JSON.stringify(params)) as object })
      }),
    )
  })

  test('the id of a person is what WaTTS makes of issuer and subject', () => {
    const id = wattsUserId({ publishedIssuer: 'https://iam.example.org/', sub: 'a' })
    expect(id).toBe('eyJpc3N1ZXIiOiJodHRwczpcL1wvaWFtLmV4YW1wbGUub3JnXC8iLCJzdWJqZWN0IjoiYSJ9')
  })

  // Printed by jsone 1.4.0 on Erlang 25.
  test.for([
    [
      'https://iam.example.org',
      'z"o\\ë/\u{1f600}\u2028',
      'eyJpc3N1ZXIiOiJodHRwczpcL1wvaWFtLmV4YW1wbGUub3JnIiwic3ViamVjdCI6InpcIm9cXFx1MDBlYlwvXHVkODNkXHVkZTAwXHUyMDI4In0',
    ],
    [
      'https://x.example/realms/y',
      'tab\there\x01\x1f\x7f\nend\r\f\b',
      'eyJpc3N1ZXIiOiJodHRwczpcL1wveC5leGFtcGxlXC9yZWFsbXNcL3kiLCJzdWJqZWN0IjoidGFiXHRoZXJlXHUwMDAxXHUwMDFmf1xuZW5kXHJcZlxiIn0',
    ],
    ['rsp-portal', 'user-17', 'eyJpc3N1ZXIiOiJyc3AtcG9ydGFsIiwic3ViamVjdCI6InVzZXItMTcifQ'],
  ] as const)('the id of a person at %s', ([publishedIssuer, sub, id]) => {
    expect(wattsUserId({ publishedIssuer, sub })).toBe(id)
  })

  test('the id of a person is JSON in ASCII with the same values', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (sub) => {
        const publishedIssuer = 'https://iam.example.org/'
        const json = Buffer.from(wattsUserId({ publishedIssuer, sub }), 'base64url').toString()
        expect(json).toMatch(/^[\x20-\x7f]*$/)
        expect(json).not.toMatch(/[^\\]\//)
        expect(JSON.parse(json)).toEqual({ issuer: publishedIssuer, subject: sub })
      }),
    )
  })

  test('reaches the program as it was made', async () => {
    const declared = JSON.stringify({
      result: 'ok',
      version: '2',
      features: { stdin: true },
      conf_params: [
        { name: 'debug', type: 'boolean', default: 'False' },
        { name: 'host', type: 'string', default: 'localhost' },
        { name: 'mode', type: 'string', default: '' },
      ],
      request_params: [],
    })
    const { plugin, lines } = await startPlugin(directory, 'declares.py', {
      command: [fixture('declares.py'), declared],
      conf_params: { debug: 1, mode: 640, misspelt: 'x' },
    })
    expect(lines.at(-1)).toMatchObject({ event: 'plugin.unknown_conf_param', name: 'misspelt' })
    expect(JSON.parse(await firstValue(plugin))).toMatchObject({
      conf_params: { debug: true, host: 'localhost', mode: '640' },
      user_info: { iss: caller.publishedIssuer, email: 'zoë@example.org' },
    })
    await expect(plugin.revoke(caller, 'state', soon())).resolves.toBeUndefined()
  })
})

describe('answers', () => {
  test('any bytes are an answer or our error', () => {
    const bytes = fc.oneof(
      fc.uint8Array().map((each) => Buffer.from(each)),
      fc.jsonValue().map((value) => Buffer.from(JSON.stringify(value))),
      fc
        .record({
          result: fc.oneof(fc.constantFrom('ok', 'error', 'oidc_login'), fc.jsonValue()),
          credential: fc.oneof(fc.array(fc.object()), fc.jsonValue()),
          state: fc.oneof(fc.string({ unit: 'binary' }), fc.jsonValue()),
          user_msg: fc.oneof(fc.string({ unit: 'binary' }), fc.jsonValue()),
          provider: fc.string(),
          msg: fc.string(),
          version: fc.string(),
          conf_params: fc.jsonValue(),
          request_params: fc.jsonValue(),
        })
        .map((value) => Buffer.from(JSON.stringify(value))),
    )
    fc.assert(
      fc.property(bytes, (output) => {
        for (const read of [readParameterAnswer, readRequestAnswer, readRevokeAnswer]) {
          try {
            read(parseOutput(output))
          } catch (error) {
            expect(error instanceof AnswerError || error instanceof PluginError).toBe(true)
            // oxlint-disable-next-line no-control-regex -- that is what must not be there
            expect((error as Error).message).not.toMatch(/[\x00-\x1f]/)
          }
        }
      }),
      { numRuns: 500 },
    )
  })

  const sound = { result: 'ok', version: '1', conf_params: [], request_params: [] }
  test.for([
    { name: 'no version', answer: { ...sound, version: 1 }, problem: /`version`/ },
    {
      name: 'conf_params no list',
      answer: { ...sound, conf_params: {} },
      problem: /`conf_params`/,
    },
    {
      name: 'a set no list',
      answer: { ...sound, request_params: [{}] },
      problem: /`request_params.0`/,
    },
    {
      name: 'a parameter without key',
      answer: { ...sound, request_params: [[{ name: 'a', description: 'b', type: 'textarea' }]] },
      problem: /`request_params.0.0.key`/,
    },
    { name: 'a login', answer: { ...sound, result: 'oidc_login' }, problem: /`result`/ },
  ])('parameter: $name', ({ answer, problem }) => {
    expect(() => readParameterAnswer(answer)).toThrow(problem)
  })

  test.for([
    { features: undefined, stdin: false },
    { features: {}, stdin: false },
    { features: { stdin: 'yes' }, stdin: false },
    { features: 'stdin', stdin: false },
    { features: { stdin: true, more: 1 }, stdin: true },
  ])('features $features', ({ features, stdin }) => {
    expect(readParameterAnswer({ ...sound, features })).toMatchObject({ stdin })
  })
})

describe('the value of an entry is shown as text', () => {
  test.for([
    ['text', '"a"', 'a'],
    ['text', '42', '42'],
    ['text', '-1.5', '-1.5'],
    ['text', '12345678901234567890', '12345678901234567890'],
    ['text', '1e400', '1e400'],
    ['textarea', '{"id":[12345678901234567890]}', '{"id":[12345678901234567890]}'],
    ['textfile', '[12345678901234567890,"\\n"]', '12345678901234567890\n'],
    ['text', 'true', 'true'],
    ['text', 'false', 'false'],
    ['text', 'null', 'null'],
    ['text', '["a","b"]', '["a","b"]'],
    ['text', '[]', '[]'],
    ['textarea', '{"host":"x","port":22}', '{"host":"x","port":22}'],
    ['textfile', '["a\\n","b\\n"]', 'a\nb\n'],
    ['textfile', '["a\\n",1,true,["x"],{"y":null}]', 'a\n1true["x"]{"y":null}'],
    ['textfile', '7', '7'],
    ['textfile', '{"a":[1]}', '{"a":[1]}'],
  ] as const)('%s %s', ([type, value, text]) => {
    const answer = parseOutput(
      Buffer.from(
        `{"result":"ok","state":"s","credential":[{"name":"n","type":"${type}","value":${value}}]}`,
      ),
    )
    expect(readRequestAnswer(answer)).toMatchObject({ entries: [{ value: text }], problems: [] })
  })

  test.for(['123', '12345678901234567890', '-1e400'])('a state %s is no text', (state) => {
    const answer = parseOutput(Buffer.from(`{"result":"ok","state":${state},"credential":[]}`))
    expect(() => readRequestAnswer(answer)).toThrow('`state`: must be a string')
  })

  test('none is dropped, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('text', 'textarea', 'textfile'),
        fc.jsonValue({ maxDepth: 20 }),
        (type, value) => {
          const credential = [{ name: 'n', type, value }]
          const answer = parseOutput(
            Buffer.from(JSON.stringify({ result: 'ok', state: 's', credential })),
          )
          expect(readRequestAnswer(answer)).toMatchObject({ problems: [] })
        },
      ),
    )
  })
})

describe('conf_params', () => {
  const boolean = { name: 'flag', type: 'boolean', default: 'False' }
  const text = { name: 'text', type: 'string', default: 'none' }

  test('a default that is a big number is text, digit for digit', () => {
    const declared = '{"name":"number","type":"string","default":12345678901234567890}'
    const answer = parseOutput(
      Buffer.from(`{"result":"ok","version":"1","request_params":[],"conf_params":[${declared}]}`),
    )
    const { confParams } = readParameterAnswer(answer)
    expect(resolveConfParams(confParams, {})).toMatchObject({
      values: { number: '12345678901234567890' },
    })
  })

  test.for([
    { given: {}, values: { flag: false, text: 'none' } },
    { given: { flag: true }, values: { flag: true, text: 'none' } },
    { given: { flag: 'True' }, values: { flag: true, text: 'none' } },
    { given: { flag: 'true' }, values: { flag: true, text: 'none' } },
    { given: { flag: 1 }, values: { flag: true, text: 'none' } },
    { given: { flag: 0, text: 22 }, values: { flag: false, text: '22' } },
  ])('$given', ({ given, values }) => {
    expect(resolveConfParams([boolean, text], given)).toEqual({ values, unknown: [] })
  })

  test.for([
    {
      name: 'a value of another type',
      declared: [boolean],
      given: { flag: 'yes' },
      problem: /conf_params.flag of the configuration must be a boolean/,
    },
    {
      name: 'a default of another type',
      declared: [{ ...boolean, default: 'maybe' }],
      given: {},
      problem: /the default must be a boolean/,
    },
    {
      name: 'an unknown type',
      declared: [{ ...text, type: 'list' }],
      given: {},
      problem: /must be boolean or string/,
    },
    {
      name: 'a bad name',
      declared: [{ ...text, name: 'My Name' }],
      given: {},
      problem: /lower-case/,
    },
    { name: 'the same name twice', declared: [text, text], given: {}, problem: /is repeated/ },
  ])('$name', ({ declared, given, problem }) => {
    expect(() => resolveConfParams(declared, given)).toThrow(problem)
  })
})

describe('~ in conf_params', () => {
  const local = { connection: { type: 'local' }, user: undefined } as const
  const settings = (changes: object) =>
    ({ ...local, ...changes }) as unknown as Parameters<typeof expandHome>[1]
  test.for([
    { value: '~', is: homedir() },
    { value: '~/.config/x', is: `${homedir()}/.config/x` },
    { value: '~alice/x', is: '~alice/x' },
    { value: '/a/~/b', is: '/a/~/b' },
    { value: 'a~', is: 'a~' },
  ])('$value', async ({ value, is }) => {
    const values = await expandHome({ path: value, flag: true }, settings({}))
    expect(values).toEqual({ path: is, flag: true })
  })

  test('of another user: that of this user', async () => {
    const [name = '', , , , , home = ''] =
      readFileSync('/etc/passwd', 'utf8')
        .split('\n')
        .map((line) => line.split(':'))
        .find(([user]) => user === 'nobody') ?? []
    const user = settings({ user: name })
    expect(await expandHome({ path: '~/x' }, user)).toEqual({ path: `${home}/x` })
  })

  test('of a user who has none: the parameter is named', async () => {
    const user = settings({ user: 4_000_000_000 })
    await expect(expandHome({ path: '~/x' }, user)).rejects.toMatchObject({
      message:
        'conf_params.path begins with ~, but the user who runs the program has no home directory',
      remedy: 'Write the absolute path.',
    })
    expect(await expandHome({ path: '/x' }, user)).toEqual({ path: '/x' })
  })

  test('on another machine the program expands it', async () => {
    const there = settings({ connection: { type: 'ssh' } })
    expect(await expandHome({ path: '~/x' }, there)).toEqual({ path: '~/x' })
  })

  test('in the settings and in the defaults of a program', async () => {
    const declared = JSON.stringify({
      result: 'ok',
      version: '2',
      features: { stdin: true },
      conf_params: [
        { name: 'dir', type: 'string', default: '~/default' },
        { name: 'file', type: 'string', default: '' },
      ],
      request_params: [],
    })
    const { plugin } = await startPlugin(directory, 'declares.py', {
      command: [fixture('declares.py'), declared],
      conf_params: { file: '~/.watts/map' },
    })
    expect(JSON.parse(await firstValue(plugin))).toMatchObject({
      conf_params: { dir: `${homedir()}/default`, file: `${homedir()}/.watts/map` },
    })
  })
})

describe('request_params', () => {
  const param = (key: string, mandatory?: unknown) => ({
    key,
    name: key,
    description: '',
    type: 'textarea',
    mandatory,
  })
  const refused = { code: 'invalid_parameters', message: 'invalid parameter have been passed' }
  const accepted = (sets: readonly ReturnType<typeof param>[][], params: unknown): boolean => {
    try {
      checkRequestParams(readParameterSets(sets), params)
      return true
    } catch (error) {
      expect(error).toMatchObject(refused)
      return false
    }
  }

  interface Row {
    readonly name: string
    readonly sets: readonly ReturnType<typeof param>[][]
    readonly params: unknown
    readonly ok: boolean
  }
  test.for<Row>([
    { name: 'none declared, none given', sets: [], params: {}, ok: true },
    { name: 'none declared, one given', sets: [], params: { a: 1 }, ok: false },
    { name: 'the optional left out', sets: [[param('a')]], params: {}, ok: true },
    { name: 'the mandatory left out', sets: [[param('a', true)]], params: {}, ok: false },
    { name: 'mandatory as a word', sets: [[param('a', 'True')]], params: {}, ok: false },
    { name: 'any value', sets: [[param('a', true)]], params: { a: { b: [null] } }, ok: true },
    { name: 'one outside the set', sets: [[param('a')]], params: { a: 1, b: 1 }, ok: false },
    {
      name: 'the second set',
      sets: [[param('a', true)], [param('b', true)]],
      params: { b: 1 },
      ok: true,
    },
    {
      name: 'half of each set',
      sets: [[param('a', true), param('c')], [param('b', true)]],
      params: { b: 1, c: 1 },
      ok: false,
    },
    { name: 'an empty set among others', sets: [[param('a', true)], []], params: {}, ok: true },
    { name: 'a key of every object', sets: [[param('a')]], params: { toString: 1 }, ok: false },
    {
      name: 'a prototype',
      sets: [[param('a')]],
      params: JSON.parse('{"__proto__":1}') as object,
      ok: false,
    },
    { name: 'a list', sets: [], params: [], ok: false },
    { name: 'null', sets: [], params: null, ok: false },
    { name: 'nothing', sets: [], params: undefined, ok: false },
  ])('$name', ({ sets, params, ok }) => {
    expect(accepted(sets, params)).toBe(ok)
  })

  test('are listed from the last to the first of each set', () => {
    const sets = readParameterSets([[param('a'), param('b', true)], [param('c')]])
    expect(sets.map((set) => set.map(({ key, mandatory }) => [key, mandatory]))).toEqual([
      [
        ['b', true],
        ['a', false],
      ],
      [['c', false]],
    ])
  })

  test.for([
    { name: 'a bad key', set: [param('A')], problem: /lower-case/ },
    { name: 'the same key twice', set: [param('a'), param('a')], problem: /is repeated/ },
    { name: 'an unknown type', set: [{ ...param('a'), type: 'colour' }], problem: /type/ },
    { name: 'mandatory perhaps', set: [param('a', 'perhaps')], problem: /mandatory/ },
  ])('$name', ({ set, problem }) => {
    expect(() => readParameterSets([set])).toThrow(problem)
  })

  test('a plugin checks them before its program runs', async () => {
    const declared = JSON.stringify({
      result: 'ok',
      version: '1',
      conf_params: [],
      request_params: [
        [{ key: 'pub_key', name: 'Key', description: '', type: 'textarea', mandatory: true }],
      ],
    })
    const { plugin } = await startPlugin(directory, 'declares.py', {
      command: [fixture('declares.py'), declared],
      allow_insecure_plugins: true,
    })
    expect(plugin.checkParameters({ pub_key: 1 })).toEqual({ pub_key: 1 })
    expect(() => plugin.checkParameters({})).toThrow(expect.objectContaining(refused))
  })
})

describe('settings', () => {
  const ssh = {
    type: 'ssh',
    host: 'ui.example.org',
    user: 'tts',
    identity_file: '/etc/tts/id',
    known_hosts_file: '/etc/tts/known_hosts',
  }
  const settings = (given: object): boolean =>
    executableSettings.safeParse({ command: ['/bin/true'], ...given }).success

  test('defaults', () => {
    expect(executableSettings.parse({ command: ['/opt/plugin'] })).toMatchObject({
      connection: { type: 'local', port: 22, connect_timeout_seconds: 10 },
      timeout_seconds: 30,
      parallel_runner: 1,
      allow_insecure_plugins: false,
      pass_access_token: false,
      allow_same_state: false,
    })
  })

  test.for([
    { name: 'a command line', given: { command: '/bin/plugin --go' }, ok: false },
    { name: 'no command', given: { command: [] }, ok: false },
    { name: 'a relative path', given: { command: ['bin/plugin'] }, ok: false },
    { name: 'a name on the path', given: { command: ['python3', '/opt/plugin.py'] }, ok: true },
    { name: 'a NUL', given: { command: ['/bin/plugin', 'a\0b'] }, ok: false },
    { name: 'ssh', given: { connection: ssh }, ok: true },
    {
      name: 'ssh without known hosts',
      given: { connection: { ...ssh, known_hosts_file: undefined } },
      ok: false,
    },
    {
      name: 'a host that is an option',
      given: { connection: { ...ssh, host: '-oProxyCommand=x' } },
      ok: false,
    },
    { name: 'a user that is an option', given: { connection: { ...ssh, user: '-x' } }, ok: false },
    { name: 'a password', given: { connection: { ...ssh, password: 'x' } }, ok: false },
    { name: 'infinite runs', given: { parallel_runner: 'infinite' }, ok: true },
    { name: 'no runs', given: { parallel_runner: 0 }, ok: false },
    { name: 'a variable that is none', given: { environment: { 'A=B': 'x' } }, ok: false },
    { name: 'an unknown key', given: { cmd: 'x' }, ok: false },
  ])('$name', ({ given, ok }) => {
    expect(settings(given)).toBe(ok)
  })
})

test.for([
  { word: '/opt/plugin', quoted: '/opt/plugin' },
  { word: 'eyJhIjoiYiJ9_-', quoted: 'eyJhIjoiYiJ9_-' },
  { word: '', quoted: `''` },
  { word: '$(id)', quoted: `'$(id)'` },
  { word: "it's; rm", quoted: `'it'\\''s; rm'` },
  { word: '~/x', quoted: `'~/x'` },
])('the word $word in a remote shell is $quoted', ({ word, quoted }) => {
  expect(quoteForShell(word)).toBe(quoted)
})

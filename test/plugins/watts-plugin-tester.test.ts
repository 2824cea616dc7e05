/**
 * Plugins as watts-plugin-tester judges them, the tool by which sites of WaTTS tested theirs. Its schemas (those for
 * WaTTS 1.0.0) are written down here again; with WATTS_PLUGIN_TESTER=<program> the tool itself is asked too.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { examineExecutable } from '../../plugins/executable/examine.ts'
import {
  encodeInput,
  encodeParameterInput,
  type PluginAction,
} from '../../plugins/executable/input.ts'
import { executableSettings } from '../../plugins/executable/settings.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { caller, soon, useDirectory } from './support.ts'
import { placePlugin, documentedPlugin } from './support-examples.ts'

const tool = process.env['WATTS_PLUGIN_TESTER']
const root = resolve(import.meta.dirname, '../..')
const directory = useDirectory()
const path = (name: string): string => join(directory, name)

const text = z.string()
const error = z.object({ result: z.literal('error'), user_msg: text, log_msg: text })
const entry = z.object({
  name: text,
  type: text,
  value: text,
  save_as: text.nullish(),
  rows: z.number().nullish(),
  cols: z.number().nullish(),
})
const requestParam = z.object({
  key: text,
  name: text,
  description: text,
  type: text,
  mandatory: z.boolean(),
})

/** What the tool takes as an answer; it lets fields be that it does not know. */
const answers: Readonly<Record<PluginAction, z.ZodType>> = {
  parameter: z.object({
    result: z.literal('ok'),
    version: text,
    conf_params: z.array(z.object({ name: text, type: text, default: text })),
    request_params: z.array(z.array(requestParam)),
  }),
  request: z.discriminatedUnion('result', [
    error,
    z.object({ result: z.literal('oidc_login'), provider: text, msg: text }),
    z.object({ result: z.literal('ok'), credential: z.array(entry), state: text }),
  ]),
  revoke: z.discriminatedUnion('result', [error, z.object({ result: z.literal('ok') })]),
}

const userInfo = z.object({ iss: text, sub: text })
const named = z.record(z.string().regex(/^[a-z0-9_]+$/), z.unknown())
const input = z.object({
  action: text,
  watts_version: text,
  watts_userid: text,
  cred_state: text,
  access_token: text.nullish(),
  additional_logins: z.array(z.object({ user_info: userInfo, access_token: text.nullish() })),
  conf_params: named,
  params: named,
  user_info: userInfo,
})

/** As the tool asks: everything as an argument, base64 with padding, over several lines. */
/** The Node that runs this test, also where another one is on the PATH. */
const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH']}` }

function askAsTool(command: string, action: PluginAction, about: object): unknown {
  const asked = {
    action,
    watts_version: '1.0.0',
    cred_state: 'undefined',
    conf_params: {},
    params: {},
    user_info: { iss: 'https://issuer.example.com', sub: '123456789' },
    additional_logins: [],
    watts_userid: Buffer.from('{"issuer":"x","subject":"y"}').toString('base64url'),
    ...about,
  }
  const argument = Buffer.from(`${JSON.stringify(asked, null, 4)}\n`).toString('base64')
  // What it writes to standard error is in the tool's way as well.
  const { stdout, stderr } = spawnSync(command, [argument], { encoding: 'utf8', input: '', env })
  return JSON.parse(stdout + stderr)
}

function toolSays(command: string, action: PluginAction, about: object): boolean {
  const args = ['check', '-m', '-p', command, '-a', action, '--input-string', JSON.stringify(about)]
  const { status, stdout } = spawnSync(tool ?? 'false', args, { encoding: 'utf8', input: '', env })
  if (status !== 0 && status !== 1) throw new Error(`the tool failed: ${stdout}`)
  return status === 0
}

describeWithTools('our examples', ['jq'], () => {
  const commands: Record<string, string> = {}
  beforeAll(() => {
    for (const language of ['python', 'sh'] as const) {
      const file = path(`documented.${language}`)
      writeFileSync(file, documentedPlugin(language), { mode: 0o755 })
      commands[`docs/plugins.md, ${language}`] = file
    }
    const url = join(root, 'examples/plugins/typescript/signed-url.ts')
    const places = [path('documented-ts'), path('signed-url')] as const
    const documented = placePlugin(places[0], 'documented', documentedPlugin('ts'))
    commands['docs/plugins.md, ts'] = documented
    commands['signed-url.ts'] = placePlugin(places[1], 'signed-url', readFileSync(url, 'utf8'))
    const examples = join(root, 'examples/plugins')
    commands['service_account.py'] = join(examples, 'python/service_account.py')
    commands['authorized-key.sh'] = join(examples, 'sh/authorized-key.sh')
    writeFileSync(path('key'), 'a key made for this test')
    mkdirSync(path('revoked'))
  })

  const blob = `AAAAC3NzaC1lZDI1NTE5AAAAI${'A'.repeat(43)}`
  const about = {
    'docs/plugins.md, python': {},
    'docs/plugins.md, sh': {},
    'docs/plugins.md, ts': {},
    'signed-url.ts': {
      conf_params: {
        base_url: 'https://download.example.org',
        key_file: path('key'),
        revoked: path('revoked'),
        hours: '2',
      },
      params: { path: '/data/run42.root' },
      cred_state: '9e499e0e-ce25-485b-9353-d19726fd287a',
    },
    'service_account.py': {
      conf_params: { password_file: path('passwords.json') },
      params: { label: 'laptop' },
      cred_state: '0123456789abcdef',
    },
    'authorized-key.sh': {
      conf_params: { keys_file: path('authorized_keys') },
      params: { pub_key: `ssh-ed25519 ${blob} zoe@laptop` },
      cred_state: '0123456789abcdef',
    },
  }
  const rows = Object.keys(about).flatMap((name) =>
    (['parameter', 'request', 'revoke'] as const).map((action) => ({ name, action })),
  )
  test.for(rows)('$name, $action', ({ name, action }) => {
    const command = commands[name] ?? ''
    const given = about[name as keyof typeof about]
    const answer = askAsTool(command, action, given)
    expect(answer).toMatchObject({ result: 'ok' })
    expect(answers[action].safeParse(answer).error).toBeUndefined()
    if (tool) expect(toolSays(command, action, given)).toBe(true)
  })
})

describe('what our service asks, the tool would have asked', () => {
  const decode = (sent: string): unknown => JSON.parse(Buffer.from(sent, 'base64url').toString())
  test('parameter', () => {
    expect(decode(encodeParameterInput())).toMatchObject({
      action: 'parameter',
      watts_version: '1.0.0',
    })
  })
  test.for(['request', 'revoke'] as const)('%s', (action) => {
    const egi = {
      providerId: 'egi',
      issuer: 'https://egi',
      publishedIssuer: 'https://egi',
      sub: 'z',
      claims: { name: 'Z' },
    }
    const sent = encodeInput(action, {
      caller: {
        ...caller,
        accessToken: 'a-token',
        additionalLogins: [{ ...egi, accessToken: 'other' }],
      },
      confParams: { host: 'a', debug: false },
      params: { pub_key: 'x' },
      credState: action === 'revoke' ? '42' : undefined,
      passAccessToken: true,
    })
    expect(input.safeParse(decode(sent)).error).toBeUndefined()
  })
})

const ok = { result: 'ok' }
const declared = { ...ok, version: '1', conf_params: [], request_params: [] }
const param = { key: 'k', name: 'K', description: 'd', type: 'textarea', mandatory: true }
const conf = { name: 'c', type: 'string', default: 'd' }
const credential = { name: 'n', type: 'text', value: 'v' }
const handed = (...entries: readonly object[]) => ({ ...ok, credential: entries, state: 's' })

interface Verdict {
  readonly name: string
  readonly action: PluginAction
  readonly answer: object
  readonly tool: boolean
  /** Of `tts plugin test`: whether all checks are good, or the answer is one that says no. */
  readonly ours: boolean
}
const at =
  (action: PluginAction) =>
  (name: string, answer: object, tool: boolean, ours = tool): Verdict => ({
    name,
    action,
    answer,
    tool,
    ours,
  })
const parameter = at('parameter')
const request = at('request')
const revoke = at('revoke')

/** A fourth value where the two differ: what old plugins do is taken, what leads nowhere is told. */
const table: readonly Verdict[] = [
  parameter('the least', declared, true),
  parameter('more than is known', { ...declared, developer_email: 'a@b', more: 1 }, true),
  parameter('a conf_param', { ...declared, conf_params: [conf] }, true),
  parameter('a request_param', { ...declared, request_params: [[param], []] }, true),
  parameter('no version', { ...declared, version: undefined }, false),
  parameter('a number as version', { ...declared, version: 1 }, false),
  parameter('no conf_params', { ...declared, conf_params: undefined }, false),
  parameter('conf_params as an object', { ...declared, conf_params: {} }, false),
  parameter('no request_params', { ...declared, request_params: undefined }, false),
  parameter('one flat set', { ...declared, request_params: [param] }, false),
  parameter('an error', { result: 'error', user_msg: 'a', log_msg: 'b' }, false),
  parameter('another result', { ...declared, result: 'fine' }, false),
  parameter('no key', { ...declared, request_params: [[{ ...param, key: undefined }]] }, false),
  parameter(
    'no description',
    { ...declared, request_params: [[{ ...param, description: undefined }]] },
    false,
  ),
  // What the tool wants and WaTTS did not.
  parameter(
    'mandatory left out',
    { ...declared, request_params: [[{ ...param, mandatory: undefined }]] },
    false,
    true,
  ),
  parameter(
    'mandatory as a word',
    { ...declared, request_params: [[{ ...param, mandatory: 'True' }]] },
    false,
    true,
  ),
  parameter(
    'a boolean default',
    { ...declared, conf_params: [{ ...conf, type: 'boolean', default: true }] },
    false,
    true,
  ),
  // What the tool takes and no service could use.
  parameter(
    'a type that there is not',
    { ...declared, conf_params: [{ ...conf, type: 'integer' }] },
    true,
    false,
  ),
  parameter(
    'a name in capitals',
    { ...declared, conf_params: [{ ...conf, name: 'HOST' }] },
    true,
    false,
  ),
  parameter('a key twice', { ...declared, request_params: [[param, param]] }, true, false),
  request('nothing in it', handed(), true),
  request('a text', handed(credential), true),
  request('sizes', handed({ ...credential, rows: 4, cols: 80, save_as: 'a' }), true),
  request('no state', { ...ok, credential: [] }, false),
  request('a number as state', { ...ok, credential: [], state: 1 }, false),
  request('no credential', { ...ok, state: 's' }, false),
  request('a credential that is no list', { ...ok, credential, state: 's' }, false),
  request('no name', handed({ ...credential, name: undefined }), false),
  request('no type', handed({ ...credential, type: undefined }), false),
  request('no value', handed({ ...credential, value: undefined }), false),
  request('a login', { result: 'oidc_login', provider: 'egi', msg: 'm' }, true),
  request('a login without msg', { result: 'oidc_login', provider: 'egi' }, false),
  request('a login nowhere', { result: 'oidc_login', msg: 'm' }, false),
  request('an error', { result: 'error', user_msg: 'a', log_msg: 'b' }, true),
  request('an error without user_msg', { result: 'error', log_msg: 'b' }, false),
  request('another result', { ...handed(), result: 'fine' }, false),
  request('an error without log_msg', { result: 'error', user_msg: 'a' }, false, true),
  request('a number', handed({ ...credential, value: 7 }), false, true),
  request('pieces', handed({ ...credential, type: 'textfile', value: ['a\n'] }), false, true),
  request('a type that there is not', handed({ ...credential, type: 'image' }), true, false),
  request('a login at ..//', { result: 'oidc_login', provider: '..//', msg: 'm' }, true, false),
  revoke('ok', ok, true),
  revoke('more than ok', { ...ok, more: 1 }, true),
  revoke('an error', { result: 'error', user_msg: 'a', log_msg: 'b' }, true),
  revoke('an error without user_msg', { result: 'error', log_msg: 'b' }, false),
  revoke('a login', { result: 'oidc_login', provider: 'egi', msg: 'm' }, false),
  revoke('an error without log_msg', { result: 'error', user_msg: 'a' }, false, true),
]

describe('the tool and `tts plugin test`', () => {
  const program = (name: string, about: Partial<Record<PluginAction, object>>): string => {
    const file = path(`${name.replaceAll(/\W/g, '-')}.py`)
    const printed = { parameter: declared, request: handed(), revoke: ok, ...about }
    writeFileSync(
      file,
      `#!/usr/bin/env python3
import base64, json, sys
text = sys.argv[1]
asked = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
print(json.dumps(json.loads(${JSON.stringify(JSON.stringify(printed))})[asked["action"]]))
`,
      { mode: 0o755 },
    )
    return file
  }

  test.for(table)('$action: $name', async (row) => {
    const { name, action, answer } = row
    const printed = JSON.parse(JSON.stringify(answer)) as object
    expect(answers[action].safeParse(printed).success).toBe(row.tool)
    const command = program(`${action} ${name}`, { [action]: printed })
    if (tool) expect(toolSays(command, action, {})).toBe(row.tool)
    const { checks } = await examineExecutable({
      settings: executableSettings.parse({
        command: [command],
        allow_insecure_plugins: true,
        allow_root: true,
      }),
      caller,
      params: action === 'request' ? {} : undefined,
      state: action === 'revoke' ? 's' : undefined,
      signal: soon(),
    })
    const failed = checks.filter(({ state }) => state === 'failed')
    // An error in the protocol's form is a good answer that says no.
    const saysNo = failed.every(({ detail }) => detail.startsWith('the program refuses'))
    expect({ failed, isGood: saysNo }).toMatchObject({ isGood: row.ours })
  })
})

/**
 * The examples: those of docs/plugins.md as they stand there, and the files of examples/plugins, each asked and
 * revoked.
 */
import { execFileSync } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { examineExecutable } from '../../plugins/executable/examine.ts'
import { executableSettings } from '../../plugins/executable/settings.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { placePlugin, documentedPlugin } from './support-examples.ts'
import { caller, refusalOf, soon, startPlugin, useDirectory, valueOf } from './support.ts'

const root = resolve(import.meta.dirname, '../..')
const directory = useDirectory()
const path = (name: string): string => join(directory, name)
const example = (name: string): string => join(root, 'examples/plugins', name)

describeWithTools('docs/plugins.md', ['jq'], () => {
  const text = readFileSync(join(root, 'docs/plugins.md'), 'utf8')
  test.for(['python', 'sh', 'ts'] as const)(
    'its plugin in %s keeps to the protocol',
    async (language) => {
      const file =
        language === 'ts'
          ? placePlugin(path('documented'), 'documented', documentedPlugin('ts'))
          : path(`documented.${language}`)
      if (language !== 'ts') writeFileSync(file, documentedPlugin(language), { mode: 0o755 })
      const { checks, answers } = await examineExecutable({
        settings: executableSettings.parse({
          allow_root: true,
          // A plugin's PATH is not ours: there may be another Node in it.
          command: language === 'ts' ? [process.execPath, file] : [file],
        }),
        caller,
        params: {},
        state: 'a-state',
        signal: soon(),
      })
      expect(checks.filter(({ state }) => state !== 'ok')).toEqual([])
      expect(answers['request']).toMatchObject({ state: expect.stringMatching(/^[0-9a-f]{16}$/) })
      expect(answers['revoke']).toEqual({ result: 'ok' })
    },
  )

  test('names the example files that there are', () => {
    const named = [...text.matchAll(/\(\.\.\/(examples\/plugins\/\S+)\)/g)].map(
      ([, file = '']) => file,
    )
    expect(named).toHaveLength(3)
    for (const file of named) {
      expect(existsSync(join(root, file))).toBe(true)
      expect(text).toContain(`[${basename(file)}]`)
    }
  })
})

/** How watts-plugin-tester looks at the answer to `parameter`. */
test.for([{ name: 'python/service_account.py' }, { name: 'sh/authorized-key.sh' }])(
  '$name declares itself as watts-plugin-tester wants it',
  ({ name }) => {
    const input = Buffer.from('{"watts_version":"1.0.0","action":"parameter"}').toString(
      'base64url',
    )
    const answer = JSON.parse(execFileSync(example(name), [input], { encoding: 'utf8' })) as object
    const text = expect.any(String) as string
    expect(answer).toEqual({
      result: 'ok',
      version: text,
      conf_params: [{ name: text, type: text, default: text }],
      request_params: [
        [
          {
            key: text,
            name: text,
            description: text,
            type: 'textarea',
            mandatory: expect.any(Boolean),
          },
        ],
      ],
      features: { stdin: true },
      ...(name.startsWith('python') ? { developer_email: text } : {}),
    })
  },
)

test('service_account.py: an account with a password', async () => {
  const file = path('passwords.json')
  const { plugin } = await startPlugin(directory, '', {
    command: [example('python/service_account.py')],
    conf_params: { password_file: file },
  })
  plugin.checkParameters({})
  const params = plugin.checkParameters({ label: 'laptop' })
  const made = await plugin.request(caller, params, soon())
  await plugin.request(caller, {}, soon())
  const state = made.kind === 'credential' ? made.state : undefined
  expect(valueOf(made)).toBe(state)
  const accounts = (): Record<string, object> =>
    JSON.parse(readFileSync(file, 'utf8')) as Record<string, object>
  expect(accounts()[state ?? '']).toMatchObject({ sub: caller.sub, label: 'laptop' })
  expect(Object.keys(accounts())).toHaveLength(2)
  expect(statSync(file).mode & 0o777).toBe(0o600)
  for (let time = 0; time < 2; time += 1) await plugin.revoke(caller, state ?? '', soon())
  expect(Object.keys(accounts())).toHaveLength(1)
  const refusal = await refusalOf(plugin.request(caller, { label: { no: 'text' } }, soon()))
  expect(refusal).toMatchObject({
    code: 'refused',
    message: 'the label must be a string of up to 100 characters',
  })
  const { plugin: broken } = await startPlugin(directory, '', {
    command: [example('python/service_account.py')],
    conf_params: { password_file: '/no/such/directory/file' },
  })
  expect(await refusalOf(broken.request(caller, {}, soon()))).toEqual({
    code: 'refused',
    message: 'the service cannot be reached',
    cause: 'the plugin says: /no/such/directory/file.new: No such file or directory',
  })
})

describeWithTools('authorized-key.sh', ['jq'], () => {
  const blob = `AAAAC3NzaC1lZDI1NTE5AAAAI${'A'.repeat(43)}`
  const start = () =>
    startPlugin(directory, '', {
      command: [example('sh/authorized-key.sh')],
      conf_params: { keys_file: path('authorized_keys') },
    })

  test('a key goes in, and out again', async () => {
    writeFileSync(path('authorized_keys'), 'ssh-ed25519 AAAA someone else\n')
    const { plugin } = await start()
    const params = plugin.checkParameters({ pub_key: `ssh-ed25519 ${blob} zoe@laptop` })
    const made = await plugin.request(caller, params, soon())
    const state = made.kind === 'credential' ? (made.state ?? '') : ''
    const keys = (): string => readFileSync(path('authorized_keys'), 'utf8')
    expect(keys()).toBe(
      `ssh-ed25519 AAAA someone else\nrestrict,pty ssh-ed25519 ${blob} tts-${state}\n`,
    )
    await plugin.revoke(caller, state, soon())
    await plugin.revoke(caller, state, soon())
    expect(keys()).toBe('ssh-ed25519 AAAA someone else\n')
    expect((await refusalOf(plugin.revoke(caller, '.*', soon()))).code).toBe('refused')
  })

  test.for([
    { pub_key: 'hello' },
    { pub_key: `ssh-ed25519 ${blob}\nssh-ed25519 ${blob}` },
    { pub_key: `command="sh" ssh-ed25519 ${blob}` },
    { pub_key: `ssh-ed25519 ${blob} $(id)` },
    { pub_key: ['ssh-ed25519'] },
    { pub_key: null },
  ])('$pub_key is refused', async ({ pub_key }) => {
    const { plugin } = await start()
    const refusal = await refusalOf(plugin.request(caller, { pub_key }, soon()))
    expect(refusal.message).toMatch(/^the public key must be one line/)
  })
})

describe('signed-url.ts', () => {
  test('a signed link, until it is revoked', async () => {
    const source = readFileSync(example('typescript/signed-url.ts'), 'utf8')
    const file = placePlugin(path('signed-url'), 'signed-url', source)
    writeFileSync(path('key'), 'a key made for this test')
    const { plugin } = await startPlugin(directory, '', {
      command: [process.execPath, file],
      conf_params: { key_file: path('key'), revoked: path('revoked'), hours: 2 },
    })
    const params = plugin.checkParameters({ path: '/data/run42.root' })
    const made = await plugin.request(caller, params, soon())
    if (made.kind !== 'credential') throw new Error('no credential')
    const url = new URL(valueOf(made))
    expect(url.searchParams.get('sub')).toBe(`${caller.sub}@${caller.publishedIssuer}`)
    const signature = url.searchParams.get('signature')
    url.searchParams.delete('signature')
    expect(signature).toBe(
      createHmac('sha256', 'a key made for this test').update(url.href).digest('base64url'),
    )
    expect(made.entries[1]).toMatchObject({
      saveAs: 'download.sh',
      value: expect.stringMatching(/^#!\/bin\/sh\ncurl/),
    })
    await plugin.revoke(caller, made.state ?? '', soon())
    expect(existsSync(path(`revoked/${made.state}`))).toBe(true)
    for (const wrong of ['/data/../../etc/passwd', 'x', 7])
      expect((await refusalOf(plugin.request(caller, { path: wrong }, soon()))).code).toBe(
        'refused',
      )
    expect((await refusalOf(plugin.revoke(caller, '../../x', soon()))).message).toBe(
      'this link does not exist',
    )
  })
})

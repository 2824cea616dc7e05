/** Executables on another machine, by the ssh client of the system and a real OpenSSH server on loopback. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { formatSshPublicKey, sshPublicKeyOf } from '../../ca/ssh/public-key.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { openSshPrivateKey } from '../support/ssh-keys.ts'
import { type Sshd, sshPackages, startSshd } from '../support/sshd.ts'
import {
  caller,
  firstValue,
  fixture,
  soon,
  startPlugin,
  type TestPlugin,
  useDirectory,
} from './support.ts'

const directory = useDirectory()

describeWithTools('a plugin over ssh', sshPackages, () => {
  let server: Sshd
  const path = (name: string): string => join(directory, name)

  beforeAll(async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const stranger = generateKeyPairSync('ed25519')
    writeFileSync(path('identity'), openSshPrivateKey(privateKey), { mode: 0o600 })
    writeFileSync(path('stranger'), openSshPrivateKey(stranger.privateKey), { mode: 0o600 })
    server = await startSshd({
      config: ['AuthorizedKeysFile %DIRECTORY%/authorized_keys'],
      files: { authorized_keys: `${formatSshPublicKey(sshPublicKeyOf(publicKey), 'tts')}\n` },
    })
    const hostKey = formatSshPublicKey(sshPublicKeyOf(stranger.publicKey), 'other')
    writeFileSync(path('other_hosts'), `[127.0.0.1]:${server.port} ${hostKey}\n`)
    writeFileSync(path('no_hosts'), '')
  })
  afterAll(() => server.stop())

  const start = (
    command: readonly string[],
    connection: object = {},
    given: object = {},
  ): Promise<TestPlugin> =>
    startPlugin(directory, '', {
      command,
      connection: {
        type: 'ssh',
        host: '127.0.0.1',
        port: server.port,
        user: server.user,
        identity_file: path('identity'),
        known_hosts_file: server.knownHosts,
        ...connection,
      },
      ...given,
    })

  test('is asked and answers as one on this machine does; its words stay words', async () => {
    const mark = path('executed')
    const version = `it's "1"; $(touch ${mark}) \`touch ${mark}\` > ${mark} & \\ * ~ !`
    const declared = {
      result: 'ok',
      version,
      conf_params: [],
      request_params: [],
      features: { stdin: true },
    }
    const { plugin } = await start([fixture('declares.py'), JSON.stringify(declared)])
    expect(plugin.status).toMatchObject({ state: 'ready', version })
    expect(JSON.parse(await firstValue(plugin))).toMatchObject({ user_info: { sub: caller.sub } })
    await plugin.revoke(caller, 'state', soon())
    expect(existsSync(mark)).toBe(false)
  })

  test('an argument of an old plugin arrives whole', async () => {
    const { plugin } = await start(
      [fixture('argument-only.sh')],
      {},
      { allow_insecure_plugins: true },
    )
    const argument = await firstValue(plugin)
    const input = JSON.parse(Buffer.from(argument, 'base64url').toString()) as object
    expect(input).toMatchObject({ action: 'request', user_info: { email: 'zoë@example.org' } })
  })

  test('an access token is in no process list, on neither machine', async () => {
    const accessToken = randomBytes(24).toString('base64url')
    const { plugin, lines } = await start(
      [fixture('shows-cmdlines.py')],
      {},
      { pass_access_token: true },
    )
    const seen = await firstValue(plugin, { ...caller, accessToken })
    expect(JSON.parse(seen)).toEqual({ length: 32, found: [] })
    expect(JSON.stringify(lines) + server.log()).not.toContain(accessToken)
  })

  test('one that hangs is left with its caller', async () => {
    const { plugin, lines } = await start([fixture('hangs-briefly.sh')])
    const leaving = new AbortController()
    const answer = plugin.request(caller, {}, leaving.signal)
    setTimeout(() => leaving.abort(new Error('gone')), 300)
    await expect(answer).rejects.toThrow('gone')
    expect(lines.at(-1)).toMatchObject({ stopped: 'aborted' })
  })

  test.for([
    {
      name: 'an unknown host',
      connection: () => ({ known_hosts_file: path('no_hosts') }),
      why: /Host key verification failed/,
    },
    {
      name: 'a host with another key',
      connection: () => ({ known_hosts_file: path('other_hosts') }),
      why: /Host key verification failed/,
    },
    {
      name: 'a key that is not known there',
      connection: () => ({ identity_file: path('stranger') }),
      why: /Permission denied/,
    },
    {
      name: 'a key that is not there',
      connection: () => ({ identity_file: path('none') }),
      why: /Permission denied/,
    },
    { name: 'nobody at home', connection: () => ({ port: 1 }), why: /Connection refused/ },
  ])('$name disables it, and the log says why', async ({ connection, why }) => {
    const { plugin, lines } = await start([fixture('echoes.py')], connection())
    expect(plugin.status).toMatchObject({ state: 'disabled', reason: expect.stringMatching(why) })
    expect(lines[0]).toMatchObject({ exit_code: 255, stderr: expect.stringMatching(why) })
  })

  test('what is missing there is told too', async () => {
    const { plugin } = await start(['/no/such/plugin'])
    expect(plugin.status).toMatchObject({
      reason: expect.stringMatching(/exit code 127; .*not found|No such file/),
    })
  })
})

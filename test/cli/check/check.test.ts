import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { useTestService } from '../../support/service.ts'
import { runTts, type TtsRun, type TtsRunOptions } from '../../support/terminal.ts'

const service = useTestService()
let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-check-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))
const config = (): string => join(service().directory, 'tts.yaml')

const check = (words: readonly string[] = [], options: TtsRunOptions = {}): Promise<TtsRun> =>
  runTts(['check', '--config', config(), ...words], options)
const checkToken = (token: string): Promise<TtsRun> =>
  check(['--token'], { environment: { BEARER_TOKEN: token } })

function write(text: string): string {
  writeFileSync(join(directory, 'tts.yaml'), text)
  return join(directory, 'tts.yaml')
}

describe('without a token', () => {
  test('all is well, for people', async () => {
    const { code, out, notes } = await check()
    expect({ code, notes }).toEqual({ code: 0, notes: '' })
    const lines = out.trimEnd().split('\n')
    expect(lines.map((line) => line.slice(0, line.indexOf(':')))).toEqual([
      'ok       configuration',
      'ok       data directory',
      'ok       ca',
      'ok       crl',
      'ok       records',
      'ok       provider iam',
      'ok       service proxy',
      'ok       service x509',
    ])
    expect(lines[0]).toContain(config())
    expect(lines[5]).toContain('are available')
  })

  test('and for scripts', async () => {
    const { out } = await check(['--json'])
    const checks = JSON.parse(out) as readonly { state: string; check: string }[]
    expect(checks.map(({ check: name, state }) => [name, state])).toContainEqual(['ca', 'ok'])
    expect(new Set(checks.map(({ state }) => state))).toEqual(new Set(['ok']))
  })

  test('a variable that sets a key is named', async () => {
    const { out } = await check([], { environment: { TTS_LOG__LEVEL: 'debug' } })
    expect(out).toContain(', and TTS_LOG__LEVEL\n')
  })

  test('a provider whose ID tokens would be taken is a warning', async () => {
    const environment = { TTS_PROVIDERS__IAM__ACCESS_TOKEN_EVIDENCE: 'none' }
    const { code, out } = await check([], { environment })
    expect(code).toBe(0)
    expect(out).toMatch(
      /^warning {2}provider iam tokens: access_token_evidence is none, so ID tokens for https:\/\/tts\.example\.org are accepted too\n {9}-> Remove from providers\.iam\.audiences every client/m,
    )
    const claims = { TTS_PROVIDERS__IAM__ACCESS_TOKEN_EVIDENCE: '{tid: default}' }
    expect((await check([], { environment: claims })).out).not.toContain('access_token_evidence')
  })

  test('a provider that is down is a failure with its remedy', async () => {
    await service().provider.goDown()
    try {
      const { code, out } = await check()
      expect(code).toBe(1)
      expect(out).toMatch(/^FAILED {3}provider iam: http:\/\/127\.0\.0\.1:\d+\/: \S/m)
      expect(out).toMatch(/^ {9}-> Open http:\S+\/\.well-known\/openid-configuration on this host/m)
      expect(out).toMatch(/^ok {7}records/m)
    } finally {
      await service().provider.comeUp()
    }
  })

  test('the keys of a relying service', async () => {
    const { issuer } = service().provider
    const location = join(directory, 'portal-keys.json')
    writeFileSync(location, '{"keys":[]}')
    const base = `base_url: ${issuer}`
    const path = write(`data_dir: relying
ca: { key_kind: ec-p256 }
relying_services:
  portal: { keys_location: "file://${location}", ${base} }
  gone: { keys_location: "file://${location}.gone", ${base} }
`)
    await runTts(['-c', path, 'ca', 'init'])
    const { code, out } = await runTts(['-c', path, 'check'])
    expect(code).toBe(1)
    expect(out).toMatch(/^ok {7}relying service portal: http:\S+, keys loaded$/m)
    expect(out).toMatch(
      /^FAILED {3}relying service gone: its keys cannot be loaded from file:\S+\.gone$/m,
    )
    expect(out).toMatch(
      /^ {9}-> Check relying_services\.gone\.keys_location: .*the file or its directory does not exist/m,
    )
  })

  test('a CA that ends within a year is a warning, one that ended a failure', async () => {
    const years = (count: number) => () => new Date(Date.now() + count * 365.25 * 86_400_000)
    // Records of its own: a CRL of that time would stay in them.
    const path = write('data_dir: ageing\nca: { key_kind: ec-p256 }\n')
    await runTts(['-c', path, 'ca', 'init'])
    const soon = await runTts(['-c', path, 'check'], { now: years(9.5) })
    expect(soon.out).toMatch(/^warning {2}ca: .* left$/m)
    expect(soon.out).toContain('-> Run `tts ca renew`')
    const ended = await runTts(['-c', path, 'check'], { now: years(11) })
    expect(ended.code).toBe(1)
    expect(ended.out).toMatch(/^FAILED {3}ca: the certificate of .* expired on /m)
  })

  test('no CA, no provider, nobody let in', async () => {
    const path = write('data_dir: data\nca: { key_kind: ec-p256 }\n')
    const without = await runTts(['-c', path, 'check'])
    // A first start makes it.
    expect(without.code).toBe(0)
    expect(without.out).toContain(`warning  ca: there is no CA in ${directory}/data yet`)
    expect(without.out).toContain('-> Run `tts ca init`')
    expect(without.out).toContain('warning  providers: no provider is configured')
    await runTts(['-c', path, 'ca', 'init'])
    const { code, out } = await runTts(['-c', path, 'check'])
    expect(code).toBe(0)
    expect(out).toContain(
      'warning  providers: no provider is configured, so every token is refused',
    )
    expect(out).toContain(
      'warning  service proxy: there is no allow rule, so every user is refused',
    )
    expect(out).toContain('-> Add a rule to services.proxy.authz.allow')
  })

  test('a missing SSH CA is one warning, and everything else is checked', async () => {
    const path = write(
      'data_dir: ssh\nca: { key_kind: ec-p256 }\nservices: { ssh: { plugin: ssh-certificate } }\n',
    )
    await runTts(['-c', path, 'ca', 'init'])
    const { code, out } = await runTts(['-c', path, 'check'])
    expect(code).toBe(0)
    expect(out).toContain(
      `warning  ssh ca: there is no SSH CA in ${directory}/ssh yet\n         -> Run \`tts ssh-ca init\`, or \`tts serve\`, which creates one.\n`,
    )
    expect(out).toMatch(/^ok {7}records/m)
    expect(out).toMatch(/^warning {2}service ssh: there is no allow rule/m)
    await runTts(['-c', path, 'ssh-ca', 'init'])
    expect((await runTts(['-c', path, 'check'])).out).toMatch(/^ok {7}ssh ca: ed25519$/m)
    writeFileSync(join(directory, 'ssh', 'ssh-ca', 'passphrase'), 'wrong')
    expect((await runTts(['-c', path, 'check'])).out).toMatch(/^FAILED {3}ssh ca: /m)
  })

  test('a CA that does not open is a line of the result, and no secret is in it', async () => {
    const data = join(service().directory, 'data')
    const path = write(`data_dir: ${data}\nca: { passphrase: not-the-passphrase }\n`)
    const { code, out, notes } = await runTts(['-c', path, 'check', '--json'])
    expect(code).toBe(1)
    const checks = JSON.parse(out) as readonly object[]
    expect(checks).toContainEqual(
      expect.objectContaining({ check: 'ca and records', state: 'failed' }),
    )
    expect(checks).toContainEqual(expect.objectContaining({ check: 'service proxy' }))
    expect(out + notes).not.toContain('not-the-passphrase')
  })

  test('a configuration that cannot be used ends it with 2 and names every key', async () => {
    const path = write('listen: { port: high }\nlimit: {}\n')
    const { code, out, notes } = await runTts(['-c', path, 'check'])
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(notes).toContain('listen.port: found "high"')
    expect(notes).toContain('limit: unknown key')
    const none = await runTts(['-c', join(directory, 'none.yaml'), 'check'])
    expect(none.code).toBe(2)
    expect(none.notes).toContain(
      'none.yaml cannot be read: the file or its directory does not exist',
    )
  })

  test.for([['--wait', 'long'], ['--wait', '0'], ['surplus']])(
    '%j is wrong usage',
    async (words) => {
      expect((await check(words)).code).toBe(2)
    },
  )
})

describe('with a token', () => {
  test('a good one passes each check, and its services are named', async () => {
    const token = service().token()
    const { code, out } = await checkToken(token)
    expect(code).toBe(0)
    for (const name of ['format', 'issuer', 'signature', 'expired', 'audience', 'user', 'scope'])
      expect(out).toMatch(new RegExp(`^ok {7}token ${name}: `, 'm'))
    expect(out).toMatch(/^ok {7}token for service proxy: allow rule 0 allows the user$/m)
    expect(out).not.toContain('FAILED')
    expect(out).not.toContain(token)
  })

  const hour = 3600
  const now = Math.floor(Date.now() / 1000)
  test.for([
    {
      title: 'for another audience',
      claims: { aud: 'https://else.example.org' },
      fails: /^FAILED {3}token audience: .*\n {9}-> .*providers\.<id>\.audiences/m,
    },
    {
      title: 'expired',
      claims: { iat: now - 2 * hour, exp: now - hour },
      fails: /^FAILED {3}token expired: .*\n {9}-> \S/m,
    },
    {
      title: 'of somebody whom no rule lets in',
      claims: { groups: ['guests'] },
      fails: /^FAILED {3}token for service proxy: no rule .*\n {9}-> \S/m,
    },
    {
      title: 'with the full path of a group, as Keycloak sends it,',
      claims: { groups: ['/cms'] },
      fails:
        /^FAILED {3}token for service proxy: no rule .*\n {9}-> allow rule 0 says groups contains "cms": did you mean "\/cms"\? Change the allow rules/m,
    },
    {
      title: 'of another issuer',
      claims: { iss: 'https://else.example.org/' },
      fails: /^FAILED {3}token issuer: .*\n {9}-> \S/m,
    },
  ])('one that is $title fails with the remedy', async ({ claims, fails }) => {
    const token = service().token('alice', claims)
    const { code, out, notes } = await checkToken(token)
    expect(code).toBe(1)
    expect(out).toMatch(fails)
    expect(out + notes).not.toContain(token)
    expect(out + notes).not.toContain(token.split('.')[2])
  })

  test('from a file', async () => {
    const path = join(directory, 'token')
    writeFileSync(path, service().token())
    expect((await check(['--token-file', path])).code).toBe(0)
    // A token that is younger than the keys might be signed with a new one.
    const old = service().token('alice', { iat: Math.floor(Date.now() / 1000) - 60 })
    writeFileSync(path, `${old.slice(0, -8)}AAAAAAAA`)
    const forged = await check(['--token-file', path])
    expect(forged.code).toBe(1)
    expect(forged.out).toMatch(/^FAILED {3}token signature: /m)
  })

  test('none is a line of the result', async () => {
    const { code, out } = await check(['--token'], { temporaryDirectory: directory })
    expect(code).toBe(1)
    expect(out).toContain('FAILED   token: no access token found')
    expect(out).toMatch(/^ok {7}records/m)
    const unread = await check(['--token-file', join(directory, 'none')])
    expect(unread.code).toBe(1)
    expect(unread.out).toContain('cannot be read: the file or its directory does not exist')
  })

  test('all claims that rules read and the token lacks are named', async () => {
    const allow =
      '[{provider: iam, claims: {eduperson_entitlement: {any: true}, acr: {any: true}}}, {provider: any, claims: {groups: {any: true}}}]'
    const environment = {
      BEARER_TOKEN: service().token(),
      TTS_SERVICES__X509__AUTHZ__ALLOW: allow,
    }
    const { code, out } = await check(['--token'], { environment })
    expect(code).toBe(0)
    expect(out).toContain(
      'warning  token rule claims: rules read claims that neither token nor provider gives: eduperson_entitlement, acr\n',
    )
    expect((await checkToken(service().token())).out).not.toContain('rule claims')
  })

  test('a service for other people alone is a warning', async () => {
    const allow = '[{provider: iam, claims: {groups: {contains: nobody}}}]'
    const environment = {
      BEARER_TOKEN: service().token(),
      TTS_SERVICES__X509__AUTHZ__ALLOW: allow,
    }
    const { code, out } = await check(['--token'], { environment })
    expect(code).toBe(0)
    expect(out).toMatch(/^warning {2}token for service x509: no rule/m)
    const disabled = { ...environment, TTS_SERVICES__PROXY__ENABLED: 'false' }
    const none = await check(['--token'], { environment: disabled })
    expect(none.code).toBe(1)
    expect(none.out).toMatch(/^FAILED {3}token for service proxy: disabled$/m)
  })
})

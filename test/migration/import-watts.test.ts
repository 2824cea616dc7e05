import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { executableSettings } from '../../plugins/executable/settings.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { rulesSettings } from '../../src/config/rules-schema.ts'
import { isTree, type Tree } from '../../src/config/settings-tree.ts'
import { authorise } from '../../src/domain/issuing/authorise.ts'
import { asYaml, importWatts, reportLines } from '../../src/migration/import-watts.ts'
import { wattsKeys } from '../../src/migration/watts-keys.ts'

const site = readFileSync(new URL('watts.conf', import.meta.url), 'utf8')

let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-watts-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const whole = (text: string): Tree => importWatts(text).configuration
const at = (tree: unknown, path: string): unknown =>
  path.split('/').reduce<unknown>((place, key) => (isTree(place) ? place[key] : undefined), tree)
const findingOf = (text: string, key: string) =>
  importWatts(text).findings.filter((finding) => finding.key === key)
async function load(text: string) {
  const imported = importWatts(text)
  for (const { fileName, value } of imported.secrets)
    writeFileSync(join(directory, fileName), value, { mode: 0o600 })
  writeFileSync(join(directory, 'tts.yaml'), asYaml(imported))
  return (await loadConfiguration(join(directory, 'tts.yaml'), {})).configuration
}

/** A service that WaTTS would have started with; `lines` are added. */
const service = (...lines: string[]): string =>
  [
    'ssl = false',
    'openid.iam.description = d',
    'openid.iam.client_id = c',
    'openid.iam.client_secret = s',
    'openid.iam.config_endpoint = https://iam.example.org/.well-known/openid-configuration',
    'openid.iam.request_scopes = openid',
    'service.s.description = d',
    ...(lines.some((line) => line.includes('.cmd =')) ? [] : ['service.s.cmd = /p/x']),
    ...(lines.some((line) => line.includes('connection.type'))
      ? []
      : ['service.s.connection.type = local']),
    ...lines,
  ].join('\n')

describe('a whole site', () => {
  test('loads, and says what it said', async () => {
    const configuration = await load(site)
    expect(configuration.listen).toMatchObject({
      host: '::',
      port: 8443,
      public_url: 'https://tts.site.example.org',
      tls_certificate_file: '/etc/watts/tls/tts.pem',
      tls_key_file: '/etc/watts/tls/tts.key',
    })
    expect(configuration.providers['iam']).toMatchObject({
      issuer: 'https://iam.site.example.org/',
      audiences: ['https://tts.site.example.org', '6f0e3a52-0000-4000-8000-000000000001'],
      accept_missing_audience: true,
      client_secret: 'SECRET-OF-IAM',
      introspect: 'opaque',
      userinfo: 'always',
      introspection_cache_seconds: 120,
      timeout_seconds: 60,
    })
    expect(configuration.providers['eduGAIN_bridge']).toMatchObject({
      alias: 'eduGAIN-bridge',
      client_secret: 'SECRET-OF-BRIDGE',
      login: {
        enabled: false,
        redirect_path: '/oidc',
        parameters: { idphint: 'https://idp.example.edu/shibboleth' },
      },
    })
  })

  test('has its services', () => {
    expect(at(whole(site), 'services')).toEqual({
      x509ca: {
        plugin: 'executable',
        description: "Certificates of the site's online CA",
        priority: 10,
        credential_limit: 2,
        executable: {
          command: ['/srv/watts/plugins/ca.py', '--config', '/srv/watts/ca dir/ca.cnf'],
          timeout_seconds: 90,
          parallel_runner: 1,
          allow_same_state: false,
          allow_insecure_plugins: true,
          conf_params: { cn_prefix: 'robot', ca_passphrase: 'PASSPHRASE' },
        },
        authz: {
          tooltip: 'Ask for membership in cms',
          hide: false,
          allow: [
            { provider: 'iam', claims: { groups: { contains_substring: 'cms' } } },
            {
              provider: 'eduGAIN_bridge',
              claims: { sub: { is_member_of: ['17@example.edu', '18@example.edu'] } },
            },
            { provider: 'iam', claims: { email: { regexp: '@(cern|site)\\.example\\.org$' } } },
          ],
          forbid: [{ provider: 'any', claims: { banned: { equals: 'true' } } }],
        },
      },
      Account: {
        plugin: 'executable',
        description: 'An account on the login node',
        credential_limit: 'infinite',
        executable: {
          command: ['sudo', '/usr/local/sbin/make-account'],
          connection: {
            type: 'ssh',
            host: 'login.site.example.org',
            port: 2222,
            user: 'watts',
            identity_file: '/srv/watts/.ssh/id_rsa',
            known_hosts_file: '/srv/watts/.ssh/known_hosts',
          },
          timeout_seconds: 3600,
          parallel_runner: 'infinite',
          pass_access_token: true,
          allow_insecure_plugins: true,
        },
        authz: {
          allow: [
            { provider: 'iam', claims: { 'wlcg.groups': { contains_substring: '/cms' } } },
            { provider: 'rsp-portal', claims: { sub: { any: true } } },
          ],
        },
      },
    })
    expect(at(whole(site), 'relying_services/portal')).toEqual({
      keys_location: 'https://portal.example.org/jwks',
      base_url: 'https://portal.example.org/',
      show_ui: false,
      perform_login: true,
    })
  })

  test('its plugins and rules are what our schemas take', () => {
    for (const settings of Object.values(at(whole(site), 'services') as Tree)) {
      expect(executableSettings.safeParse(at(settings, 'executable')).error).toBeUndefined()
      const { allow, forbid } = at(settings, 'authz') as Tree
      expect(rulesSettings.safeParse({ allow, forbid }).error).toBeUndefined()
    }
  })

  test('every setting is answered once, and only the chain is to be fixed', () => {
    const { findings } = importWatts(site)
    const settings = site
      .split('\n')
      .flatMap((line, index) => (/^\w/.test(line) ? [index + 1] : []))
    expect(findings.flatMap(({ line }) => line ?? [])).toEqual(settings)
    expect(findings.filter(({ fate }) => fate === 'problem').map(({ key }) => key)).toEqual([
      'cachain_file',
    ])
    for (const { fate, to, note } of findings)
      expect(fate === 'carried' ? to : note).toMatch(/\w{3}/)
  })

  test('secrets are in files, and the passwords of WaTTS nowhere', () => {
    const imported = importWatts(site)
    const text = asYaml(imported)
    expect(imported.secrets).toEqual([
      { provider: 'iam', fileName: 'client-secret-iam', value: 'SECRET-OF-IAM' },
      {
        provider: 'eduGAIN_bridge',
        fileName: 'client-secret-eduGAIN_bridge',
        value: 'SECRET-OF-BRIDGE',
      },
    ])
    for (const secret of ['SECRET-OF', 'PASSWORD', 'not-a-biscuit'])
      expect(text).not.toContain(secret)
    expect(JSON.stringify(imported.findings)).not.toMatch(/SECRET-OF|PASSWORD|PASSPHRASE/)
  })

  test('what is carried goes where the table says', () => {
    const { findings } = importWatts(site)
    for (const { line, key, to } of findings) {
      if (line === undefined || to === undefined) continue
      const row = wattsKeys.find(({ key: pattern }) =>
        new RegExp(
          `^${pattern.replaceAll('.', '\\.').replaceAll(/\$\w+/g, '(?:\\\\\\.|[^.])+')}$`,
        ).test(key),
      )
      const said = row?.becomes?.replace(/^(\w+)\.ID/, '$1.*') ?? 'nowhere'
      const went = to
        .replace(/^(providers|services|relying_services)\.[^.]+/, '$1.*')
        .replace(/(conf_params)\..*/, '$1')
      expect([key, went === said || key === 'enable_rsp' || `${went}.` === said]).toEqual([
        key,
        true,
      ])
    }
  })
})

describe('the server', () => {
  test.for([
    { conf: '', url: 'https://localhost:8080', host: '0.0.0.0', port: 8080 },
    { conf: 'ssl = false', url: 'http://localhost:8080', host: '127.0.0.1', port: 8080 },
    { conf: 'ssl = false\nport = default', url: 'http://localhost', host: '127.0.0.1', port: 80 },
    {
      conf: 'hostname = h.org\nport = 443\nlisten_port = 8443',
      url: 'https://h.org',
      host: '0.0.0.0',
      port: 8443,
    },
    {
      conf: 'hostname = h.org\nport = 9443\nlisten_port = port',
      url: 'https://h.org:9443',
      host: '0.0.0.0',
      port: 9443,
    },
    {
      conf: 'hostname = x.onion\nssl = false\nport = 80',
      url: 'http://x.onion',
      host: '127.0.0.1',
      port: 80,
    },
    {
      conf: 'port = 443\nmain_path = /watts/',
      url: 'https://localhost/watts',
      host: '0.0.0.0',
      port: 443,
    },
  ])('$conf', ({ conf, url, host, port }) => {
    expect(at(whole(conf), 'listen')).toMatchObject({ public_url: url, host, port })
  })

  test('debug mode is a level of the log', () => {
    expect(at(whole('debug_mode = true'), 'log/level')).toBe('debug')
    expect(at(whole('debug_mode = false'), 'log')).toBeUndefined()
  })

  test('what WaTTS would not have taken is a problem', () => {
    for (const [line, key] of [
      ['port = 0', 'port'],
      ['port = 70000', 'port'],
      ['listen_port = default', 'listen_port'],
      ['ssl = yes', 'ssl'],
      ['hostname = h.org\nssl = false', 'hostname'],
      ['hostnam = h.org', 'hostnam'],
      ['oidc.cache_duration = 90s', 'oidc.cache_duration'],
    ] as const)
      expect(findingOf(line, key)).toEqual([expect.objectContaining({ fate: 'problem' })])
  })

  test('of a key that is said twice the last counts, and both are told', () => {
    const text = 'hostname = a.org\nport = 443\nhostname = b.org'
    expect(at(whole(text), 'listen/public_url')).toBe('https://b.org')
    expect(findingOf(text, 'hostname')).toEqual([
      expect.objectContaining({
        line: 1,
        fate: 'dropped',
        note: 'line 3 sets the same key and counts',
      }),
      expect.objectContaining({ line: 3, fate: 'carried' }),
    ])
  })

  test('bad lines are told with their number', () => {
    const { findings } = importWatts('hostname = a.org\nnonsense\ninclude more.conf')
    expect(findings.flatMap(({ line, fate }) => (fate === 'problem' ? [line] : []))).toEqual([2, 3])
  })

  test('a value that a # cut short is told', () => {
    const [finding] = findingOf('openid.iam.client_secret = abc#def', 'openid.iam.client_secret')
    expect(finding).toMatchObject({
      fate: 'changed',
      note: expect.stringContaining('ends at the #'),
    })
  })
})

describe('providers', () => {
  const provider = (
    id: string,
    endpoint = 'https://i.org/.well-known/openid-configuration',
  ): string =>
    `ssl = false\nopenid.${id}.client_id = c\nopenid.${id}.config_endpoint = ${endpoint}\n`
  test.for([
    { endpoint: 'https://i.org/.well-known/openid-configuration', issuer: 'https://i.org/' },
    {
      endpoint: 'https://i.org/a/b/.well-known/openid-configuration/',
      issuer: 'https://i.org/a/b/',
    },
  ])('$endpoint', ({ endpoint, issuer }) => {
    expect(at(whole(provider('iam', endpoint)), 'providers/iam/issuer')).toBe(issuer)
  })

  test('an address that is none of discovery is a problem', () => {
    const found = findingOf(provider('iam', 'https://i.org/openid'), 'openid.iam.config_endpoint')
    expect(found[0]).toMatchObject({ fate: 'problem' })
  })

  test.for([
    { id: 'a_b', ours: 'a_b', alias: 'a-b' },
    { id: 'EGI_Check-in', ours: 'EGI_Check-in', alias: 'EGI-Check-in' },
    { id: '-x-', ours: 'x-', alias: 'x' },
    { id: 'a'.repeat(40), ours: 'a'.repeat(40), alias: 'a'.repeat(21) },
    { id: 'a'.repeat(70), ours: 'a'.repeat(64), alias: 'a'.repeat(21) },
    { id: '__proto__', ours: 'proto__', alias: 'proto' },
  ])('the id $id becomes $ours, also in rules', async ({ id, ours, alias }) => {
    const text = `${provider(id)}service.s.description = d\nservice.s.cmd = /p\nservice.s.connection.type = local
service.s.authz.allow.${id}.sub.any = true`
    expect(at(whole(text), 'services/s/authz/allow')).toEqual([
      { provider: ours, claims: { sub: { any: true } } },
    ])
    expect(findingOf(text, `openid.${id}`)[0]).toMatchObject({ fate: 'changed' })
    const { providers } = await load(text)
    expect(Object.keys(providers)).toEqual([ours])
    expect(providers[ours]?.alias).toBe(alias)
  })

  test.for(['any', 'rsp-x', 'rsp', '_'])('the id %s is taken by neither', (id) => {
    const { configuration, findings } = importWatts(provider(id))
    expect(configuration['providers']).toEqual({})
    expect(findings).toContainEqual(
      expect.objectContaining({ fate: 'problem', key: `openid.${id}` }),
    )
  })

  test('two that would have one alias have two', async () => {
    const text = `${provider('a_b')}${provider('a-b').replace('i.org', 'j.org')}`
    const { providers } = await load(text)
    expect([providers['a_b']?.alias, providers['a-b']?.alias]).toEqual(['a-b-2', undefined])
    expect(findingOf(text, 'openid.a_b')[0]?.note).toContain('@a-b-2')
  })

  test('two that would be one are told', () => {
    const { findings } = importWatts(`${provider('-a')}${provider('a').replace('i.org', 'j.org')}`)
    expect(findings).toContainEqual(expect.objectContaining({ fate: 'problem', key: 'openid.a' }))
  })

  test('logins keep the redirect URI that is registered', () => {
    expect(at(whole(provider('iam')), 'providers/iam/login/redirect_path')).toBe('/oidc')
    expect(findingOf(provider('iam'), 'openid')[0]?.note).toContain(
      'The redirect URI stays http://localhost:8080/oidc',
    )
  })

  test('an idphint is sent at the login', () => {
    const text = `${provider('iam')}openid.iam.idphint = https://idp.example.edu/x`
    expect(at(whole(text), 'providers/iam/login/parameters')).toEqual({
      idphint: 'https://idp.example.edu/x',
    })
    expect(findingOf(text, 'openid.iam.idphint')[0]).toMatchObject({ fate: 'carried' })
  })

  test('two ids of one issuer are two logins of the same people', async () => {
    const second = provider('Home_Org').replace('client_id = c', 'client_id = d')
    const text = `${provider('iam')}${second}openid.Home_Org.idphint = https://idp.example.edu/x`
    const { providers } = await load(text)
    const audiences = ['http://localhost:8080', 'c', 'd']
    expect(providers).toMatchObject({
      iam: { audiences, client_id: 'c' },
      Home_Org: {
        audiences,
        alias: 'iam',
        client_id: 'd',
        login: { parameters: { idphint: 'https://idp.example.edu/x' } },
      },
    })
    expect(findingOf(text, 'openid.Home_Org').map(({ note }) => note)).toEqual([
      expect.stringContaining('has the same issuer as iam'),
    ])
  })

  test('an unknown key makes no provider', () => {
    expect(at(whole('openid.iam2.descripton = d'), 'providers')).toEqual({})
  })

  test('no cache is none', () => {
    const text = `${provider('iam')}oidc.cache_duration = none`
    expect(at(whole(text), 'providers/iam/introspection_cache_seconds')).toBe(0)
  })
})

describe('no service appears that was not there', () => {
  test.for([
    'service.info2.email_on_error_to = admin',
    'service.info2.mail_on_error_to = admin',
    'service.info2.display_prio = 3',
    'service.info2.cmd_env_use = true',
    'service.info2.descripton = misspelt',
    // The handbook's example of a plugin parameter.
    'service.plugin.path = /tmp/data',
  ])('%s', (line) => {
    const text = service(line)
    expect(Object.keys(at(whole(text), 'services') as Tree)).toEqual(['s'])
    const [found] = findingOf(text, line.split(' ')[0] ?? '')
    expect(found?.fate).toMatch(/dropped|problem/)
  })

  test('lines of a service without description and command are to fix', () => {
    const text = service('service.sx.credential_limit = 3')
    expect(Object.keys(at(whole(text), 'services') as Tree)).toEqual(['s'])
    expect(findingOf(text, 'service.sx')).toEqual([
      expect.objectContaining({
        fate: 'problem',
        note: expect.stringContaining('neither description nor cmd'),
      }),
    ])
  })

  test('nor in lists: the services of the native paths are hidden', async () => {
    const { services } = await load(service())
    expect(Object.keys(services).toSorted()).toEqual(['proxy', 's', 'x509'])
    for (const id of ['proxy', 'x509']) {
      expect(services[id]?.authz).toMatchObject({ allow: [], hide: true })
    }
  })

  test("the handbook's email_on_error_to of a service has no effect", () => {
    const [finding] = findingOf(
      service('service.s.email_on_error_to = admin'),
      'service.s.email_on_error_to',
    )
    expect(finding).toMatchObject({
      fate: 'dropped',
      note: expect.stringContaining("the handbook's name of mail_on_error_to"),
    })
  })
})

describe('services', () => {
  test.for(['Site_X509', '_x', 'a-b', 'A'.repeat(64)])('the id %s stays', async (id) => {
    const text = service(
      `service.${id}.description = d`,
      `service.${id}.cmd = /p`,
      `service.${id}.connection.type = local`,
    )
    expect(Object.keys((await load(text)).services)).toContain(id)
    expect(findingOf(text, `service.${id}`)).toEqual([])
  })

  test.for([
    { line: 'pass_access_token = true', key: 'pass_access_token', says: 'reads_stdin: true' },
    { line: 'plugin.work_dir = ~/.config', key: 'plugin.work_dir', says: 'home directory' },
    { line: 'priority = 1', key: 'plugin_timeout', says: 'start_timeout_seconds' },
  ])('what differs is noted: $line', ({ line, key, says }) => {
    const [finding] = findingOf(service(`service.s.${line}`), `service.s.${key}`)
    expect(finding).toMatchObject({ fate: 'changed', note: expect.stringContaining(says) })
  })

  test.for([
    ['service', 'same watts_userid'],
    ['openid', 'web.show_access_token'],
  ] as const)('what holds for all is noted once: %s', ([key, says]) => {
    const found = findingOf(service(), key)
    expect(found).toHaveLength(1)
    expect(found[0]?.note).toContain(says)
  })

  test.for([
    { line: 'credential_limit = infinite', path: 'credential_limit', value: 'infinite' },
    { line: 'credential_limit = 0', path: 'credential_limit', value: 0 },
    { line: 'parallel_runner = infinite', path: 'executable/parallel_runner', value: 'infinite' },
    { line: 'plugin_timeout = 1500ms', path: 'executable/timeout_seconds', value: 1.5 },
    { line: 'plugin_timeout = 2h', path: 'executable/timeout_seconds', value: 3600 },
    { line: 'plugin_timeout = infinity', path: 'executable/timeout_seconds', value: 3600 },
    { line: 'pass_access_token = false', path: 'executable/pass_access_token', value: false },
    { line: 'display_prio = undefined', path: 'priority', value: undefined },
    { line: 'plugin.path = /a=b', path: 'executable/conf_params/path', value: '/a=b' },
    { line: 'plugin.flag = true', path: 'executable/conf_params/flag', value: 'true' },
  ])('$line', ({ line, path, value }) => {
    const text = service(`service.s.${line}`)
    expect(at(whole(text), `services/s/${path}`)).toEqual(value)
    expect(importWatts(text).findings.filter(({ fate }) => fate === 'problem')).toEqual([])
  })

  test.for([
    { line: 'cmd = cat /p/x | sh', key: 'cmd' },
    { line: 'cmd = ./x', key: 'cmd' },
    { line: 'cmd = plugins/x', key: 'cmd' },
  ])('$line leaves the service disabled', async ({ line, key }) => {
    const text = service(`service.s.${line}`, 'service.s.authz.allow.any.sub.any = true')
    const settings = at(whole(text), 'services/s')
    expect(settings).toMatchObject({
      enabled: false,
      executable: { command: ['/etc/tts/plugins/s'] },
    })
    expect(findingOf(text, `service.s.${key}`)[0]).toMatchObject({ fate: 'problem' })
    await load(text)
  })

  test.for([
    'credential_limit = -1',
    'credential_limit = many',
    'parallel_runner = 0',
    'plugin_timeout = 90',
    'pass_access_token = yes',
    'connection.type = telnet',
    'plugin.Upper = x',
    'no_such_key = x',
  ])('%s is a problem', (line) => {
    const key = `service.s.${line.split(' ')[0]}`
    expect(findingOf(service(`service.s.${line}`), key)[0]).toMatchObject({ fate: 'problem' })
  })

  test('passwords and passphrases of ssh are not carried over', () => {
    const text = service(
      'service.s.connection.type = ssh',
      'service.s.connection.host = h',
      'service.s.connection.user = u',
      'service.s.connection.password = PASSWORD',
      'service.s.connection.ssh_key_pass = PASSWORD',
    )
    expect(JSON.stringify(importWatts(text))).not.toContain('PASSWORD')
    expect(findingOf(text, 'service.s.connection.password')[0]).toMatchObject({ fate: 'dropped' })
    expect(findingOf(text, 'service.s.connection.ssh_dir')[0]).toMatchObject({ fate: 'problem' })
    expect(at(whole(text), 'services/s/executable/connection/identity_file')).toBe(
      '/etc/tts/ssh/s/id_rsa',
    )
  })

  test('names of objects are ids like others', () => {
    const { findings } = importWatts(
      service('service.constructor.cmd = /p', 'service.s.plugin.__proto__ = x'),
    )
    expect(findings.length).toBeGreaterThan(5)
    expect(
      Object.keys(
        at(
          whole(service('service.s.plugin.__proto__ = x')),
          'services/s/executable/conf_params',
        ) as Tree,
      ),
    ).toEqual(['__proto__'])
  })
})

describe('rules', () => {
  const rule = (line: string): string =>
    service('service.s.authz.allow.any.sub.any = true', `service.s.authz.${line}`)
  const enabled = (text: string): unknown => at(whole(text), 'services/s/enabled')

  test.for([
    { line: 'allow.nobody.sub.any = true', why: 'provider nobody is not configured' },
    { line: 'allow.iam.sub.starts_with = a', why: 'does not exist' },
    { line: 'allow.iam.groups.contains_substring = a', why: 'does not exist' },
    { line: 'allow.iam.sub.contains = a', why: 'contains on sub' },
    { line: 'allow.iam.mail.regexp = (?i)a', why: 'regexp' },
    { line: 'allow.iam.sub.is_member_of = ,', why: 'empty' },
    { line: 'allow.rsp-gone.sub.any = true', why: 'is not configured' },
  ])('$line: left out, and $why is told; as forbid it closes the service', ({ line, why }) => {
    const [key = ''] = line.split(' ')
    const text = rule(line)
    expect(at(whole(text), 'services/s/authz/allow')).toHaveLength(1)
    expect(enabled(text)).toBeUndefined()
    const found = findingOf(text, `service.s.authz.${key}`)
    expect(found).toEqual([
      expect.objectContaining({ fate: 'problem', note: expect.stringContaining(why) }),
    ])
    const forbidding = rule(line.replace('allow', 'forbid'))
    expect(enabled(forbidding)).toBe(false)
    expect(at(whole(forbidding), 'services/s/authz/forbid')).toBeUndefined()
  })

  test.for([
    'forbid.iam.realm.roles.contains = a',
    'forbid.iam.sub = a',
    'forbid.iam.sub.any true',
  ])('%s is no rule: the service stays closed', (line) => {
    expect(enabled(rule(line))).toBe(false)
    expect(importWatts(rule(line)).findings.some(({ fate }) => fate === 'problem')).toBe(true)
    expect(enabled(rule(line.replace('forbid', 'allow')))).toBeUndefined()
  })

  test('of a relying service that was off stay, and close nothing', () => {
    const text = `${rule('forbid.rsp-portal.sub.any = true')}\nrsp.portal.base_url = https://p.org/`
    expect(enabled(text)).toBeUndefined()
    expect(at(whole(text), 'relying_services')).toBeUndefined()
    expect(at(whole(text), 'services/s/authz/forbid')).toHaveLength(1)
  })

  test('those with numbers are tried in their order', () => {
    const text = service(
      'service.s.authz.allow.10.iam.sub.equals = c',
      'service.s.authz.allow.2.iam.sub.equals = b',
      'service.s.authz.allow.1.iam.sub.equals = a',
    )
    const allow = at(whole(text), 'services/s/authz/allow') as { claims: { sub: unknown } }[]
    expect(allow.map(({ claims }) => claims.sub)).toEqual([
      { equals: 'a' },
      { equals: 'b' },
      { equals: 'c' },
    ])
  })

  test.for([
    { line: 'iam.k.equals = true', claims: { k: true }, allowed: false },
    { line: 'iam.k.equals = true', claims: { k: 'true' }, allowed: true },
    { line: 'iam.k.equals = 1', claims: { k: 1 }, allowed: false },
    { line: 'iam.k.any = true', claims: { k: 0 }, allowed: true },
    { line: 'iam.k.any = yes', claims: { k: 0 }, allowed: false },
    { line: 'iam.k.is_member_of = a,b', claims: { k: 'b' }, allowed: true },
    { line: 'iam.k.is_member_of = a, b', claims: { k: 'b' }, allowed: false },
    { line: 'iam.k.contains = a', claims: { k: ['b', 'a'] }, allowed: true },
    { line: 'iam.k.contains = a', claims: { k: ['ba'] }, allowed: false },
    { line: 'iam.k.contains = compute', claims: { k: 'nocompute.create' }, allowed: true },
    { line: 'iam.k.contains = cms', claims: { k: 'atlas,cms' }, allowed: true },
    { line: 'iam.k.regexp = ^a\\.b', claims: { k: 'a.bc' }, allowed: true },
    { line: 'iam.k.regexp = ^a\\.b', claims: { k: 'axbc' }, allowed: false },
    {
      line: 'any.wlcg\\.groups.contains = /cms',
      claims: { 'wlcg.groups': ['/cms'] },
      allowed: true,
    },
  ])('$line on $claims decides as WaTTS did', ({ line, claims, allowed }) => {
    const { authz } = at(whole(service(`service.s.authz.allow.${line}`)), 'services/s') as Tree
    // Through YAML, where `true` and `1` without quotes would be no text.
    const rules = rulesSettings.parse(parse(stringify(authz)))
    expect(authorise(rules, { providerId: 'iam', claims }).allowed).toBe(allowed)
  })
})

test('what contains became is told once, with the lines of all such rules', () => {
  const key = (claim: string): string => `service.s.authz.allow.iam.${claim}.contains`
  const { findings } = importWatts(service(`${key('groups')} = a`, `${key('roles')} = b`))
  const changed = reportLines(findings).filter((line) => line.includes('contains_substring'))
  expect(changed).toHaveLength(1)
  expect(changed[0]).toContain(`${key('groups')}, ${key('roles')}`)
})

describe('whatever the file says', () => {
  const keys = wattsKeys.map(({ key }) =>
    key.replace('$provider', 'iam').replace('$operation', 'any').replaceAll(/\$\w+/g, 'x1'),
  )
  const value = fc.oneof(
    fc.constantFrom(
      'true',
      'false',
      'infinite',
      '12',
      '15m',
      '/p/x',
      'ssh',
      'local',
      'https://i.org/.well-known/openid-configuration',
    ),
    fc.string(),
  )
  test('there is a report and YAML that can be read, and comments end where they end', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...keys), value)), (lines) => {
        const imported = importWatts(lines.map(([key, text]) => `${key} = ${text}`).join('\n'))
        expect(parse(asYaml(imported))).toEqual(JSON.parse(JSON.stringify(imported.configuration)))
        for (const { note } of imported.findings) expect(note ?? '').not.toMatch(/[\p{Cc}]/u)
      }),
    )
  })
})

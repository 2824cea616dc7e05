import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Environment, loadConfiguration } from '../../src/config/load.ts'
import { createServices } from '../../src/domain/issuing/service.ts'
import { createLog } from '../../src/base/log.ts'
import { TtsError } from '../../src/base/errors.ts'

let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-config-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function write(name: string, text: string, mode = 0o600): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

const load = async (yaml: string, environment: Environment = {}) =>
  loadConfiguration(write('tts.yaml', yaml), environment)

/** The lines of a refusal, without the first. */
async function problems(yaml: string, environment: Environment = {}): Promise<readonly string[]> {
  const error: unknown = await load(yaml, environment).then(
    () => undefined,
    (failure: unknown) => failure,
  )
  if (!(error instanceof TtsError)) throw new Error(`wanted a TtsError, found ${String(error)}`)
  expect(error.code).toBe('configuration')
  return error.message
    .split('\n')
    .slice(1)
    .map((line) => line.trim())
}

const iam = (more = ''): string =>
  `providers:\n  iam:\n    issuer: https://iam.example.org/\n    audiences: [https://tts.example.org]\n${more}`

describe('no file at all', () => {
  test('a safe local default', async () => {
    const { configuration, dataDirectory } = await load('', { XDG_DATA_HOME: '/somewhere' })
    expect(configuration.listen).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      trusted_proxies: [],
    })
    expect(configuration.ca).toMatchObject({
      key_kind: 'rsa-4096',
      subject: '/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA',
    })
    expect(configuration.providers).toEqual({})
    expect(dataDirectory).toBe('/somewhere/tts')
    // Default deny: the built-in services are there, for nobody.
    expect(configuration.services).toMatchObject({
      proxy: { plugin: 'x509-proxy', enabled: true, authz: { allow: [], forbid: [] } },
      x509: { plugin: 'x509-certificate', enabled: true, authz: { allow: [], forbid: [] } },
    })
  })

  test('nothing of it can be changed', async () => {
    const { configuration } = await load('')
    expect(() => {
      ;(configuration.listen as { port: number }).port = 1
    }).toThrow(TypeError)
    expect(() => {
      ;(configuration.services['proxy']!.authz.allow as unknown[]).push({})
    }).toThrow(TypeError)
  })

  test('a file that is named and not there', async () => {
    await expect(loadConfiguration(join(directory, 'none.yaml'), {})).rejects.toMatchObject({
      code: 'configuration',
      message: `the configuration file ${join(directory, 'none.yaml')} cannot be read: the file or its directory does not exist`,
    })
  })
})

describe('what is wrong is named: key, found, wanted', () => {
  // prettier-ignore
  test.for([
    { name: 'unknown key', yaml: 'lisen: {}', says: 'lisen: unknown key; docs/configuration.md lists all keys' },
    { name: 'unknown key below', yaml: 'listen: {prot: 1}', says: 'listen.prot: unknown key; docs/configuration.md lists all keys' },
    { name: 'port of a text', yaml: 'listen: {port: http}', says: /^listen\.port: found "http"; .*number/ },
    { name: 'port too large', yaml: 'listen: {port: 70000}', says: /^listen\.port: found 70000; .*65535/ },
    { name: 'section of another type', yaml: 'listen: [1]', says: /^listen: found a list; / },
    { name: 'section of a text', yaml: 'limits: none', says: /^limits: found "none"; / },
    { name: 'plain HTTP on all addresses', yaml: 'listen: {host: 0.0.0.0}', says: /^listen\.host: found "0\.0\.0\.0"; tokens and private keys would cross the network unencrypted/ },
    { name: 'plain HTTP on IPv6', yaml: 'listen: {host: "::"}', says: /^listen\.host: found "::"; tokens and private keys/ },
    { name: 'plain HTTP on a name', yaml: 'listen: {host: tts.example.org}', says: /^listen\.host: / },
    { name: 'half of TLS', yaml: 'listen: {tls_certificate_file: a.pem}', says: /^listen\.tls_key_file: found nothing; .* must both be set, or neither$/ },
    { name: 'trusted proxy of a name', yaml: 'listen: {trusted_proxies: [nginx]}', says: /^listen\.trusted_proxies\.0: found "nginx"; must be an address or a network/ },
    { name: 'trusted proxy of too many bits', yaml: 'listen: {trusted_proxies: [10.0.0.0/33]}', says: /^listen\.trusted_proxies\.0: / },
    { name: 'provider over http', yaml: 'providers: {iam: {issuer: "http://iam.example.org/", audiences: [a]}}', says: /^providers\.iam\.issuer: found "http:\/\/iam\.example\.org\/"; must be an https URL/ },
    { name: 'provider with a query', yaml: 'providers: {iam: {issuer: "https://iam.example.org/?a=b", audiences: [a]}}', says: /^providers\.iam\.issuer: / },
    { name: 'provider without audience', yaml: 'providers: {iam: {issuer: "https://iam.example.org/"}}', says: /^providers\.iam\.audiences: found nothing; needs at least one audience/ },
    { name: 'symmetric algorithm', yaml: iam('    algorithms: [HS256]'), says: /^providers\.iam\.algorithms\.0: found "HS256"; / },
    { name: 'alias that ends in a hyphen', yaml: iam('    alias: iam-'), says: /^providers\.iam\.alias: found "iam-"; must begin and end/ },
    { name: 'id that begins with a dot', yaml: 'providers: {.x: {issuer: "https://iam.example.org/", audiences: [a]}}', says: /^providers\.\.x: the name must be 1 to 64 letters/ },
    { name: 'id that is no alias', yaml: 'providers: {my_iam: {issuer: "https://iam.example.org/", audiences: [a]}}', says: /^providers\.my_iam\.alias: found nothing; must begin and end .* \(set it if the default/ },
    { name: 'introspection without client', yaml: iam('    introspect: always'), says: /^providers\.iam\.introspect: found "always"; needs client_id/ },
    { name: 'unknown plugin', yaml: 'services: {a: {plugin: x}}', says: /^services\.a\.plugin: found "x"; / },
    { name: 'service id with a space', yaml: 'services: {"my proxy": {plugin: x509-proxy}}', says: /^services\.my proxy: the name must be 1 to 64 letters/ },
    { name: 'rule of an unknown provider', yaml: 'services: {proxy: {authz: {allow: [{provider: iam, claims: {groups: {contains: cms}}}]}}}', says: /^services\.proxy\.authz\.allow\.0\.provider: found "iam"; .*iam is not configured/ },
    { name: 'rule without claims', yaml: 'services: {proxy: {authz: {allow: [{provider: any, claims: {}}]}}}', says: /^services\.proxy\.authz\.allow\.0\.claims: / },
    { name: 'rule with a broken expression', yaml: 'services: {proxy: {authz: {allow: [{provider: any, claims: {sub: {regexp: "("}}}]}}}', says: /regexp: found "\("; must be a regular expression of JavaScript with the flag u: Unterminated group/ },
    { name: 'rule with a lookahead', yaml: 'services: {proxy: {authz: {forbid: [{provider: any, claims: {sub: {regexp: "(?!a)b"}}}]}}}', says: /^services\.proxy\.authz\.forbid\.0\.claims\.sub\.regexp: found "\(\?!a\)b"; the lookahead \(\?!…\) is not supported; split the condition/ },
    { name: 'rule with a huge expression', yaml: 'services: {proxy: {authz: {allow: [{provider: any, claims: {sub: {regexp: "(.{1,1000}){1,1000}"}}}]}}}', says: /^services\.proxy\.authz\.allow\.0\.claims\.sub\.regexp: found .* is too large once its repetitions are written out; use smaller counts/ },
    { name: 'CA name that is none', yaml: 'ca: {subject: TTS}', says: /^ca\.subject: found "TTS"; must be a name such as/ },
    { name: 'CA name that policy files cannot say', yaml: `ca: {subject: "/O=O'Hara/CN=CA"}`, says: /^ca\.subject: / },
    { name: 'CA name of one part', yaml: 'ca: {subject: /CN=TTS-CA}', says: /^ca\.end_entity_base: found nothing; must be set, because `subject` has only one part/ },
    { name: 'users under the CA', yaml: 'ca: {end_entity_base: /C=EU/O=INDIGO/OU=TTS/CN=TTS-CA/OU=x}', says: /^ca\.end_entity_base: .*must not begin with the name of the CA/ },
    { name: 'CA alias that ends in a dot', yaml: 'ca: {alias: tts.}', says: /^ca\.alias: found "tts\."/ },
    { name: 'CA key of RSA-2048', yaml: 'ca: {key_kind: rsa-2048}', says: /^ca\.key_kind: found "rsa-2048"; / },
    { name: 'OID that is none', yaml: 'ca: {policy_oids: ["1.2.03"]}', says: /^ca\.policy_oids\.0: found "1\.2\.03"; / },
    { name: 'OID over its arc', yaml: 'ca: {policy_oids: ["0.99"]}', says: /^ca\.policy_oids\.0: / },
    { name: 'CRL over https', yaml: 'ca: {crl_url: "https://tts.example.org/crl"}', says: /^ca\.crl_url: found "https:\/\/tts\.example\.org\/crl"; / },
    { name: 'CRL that would be outdated', yaml: 'ca: {crl_lifetime_seconds: 86400}', says: /^ca\.crl_refresh_seconds: found nothing; must be at most half of crl_lifetime_seconds, 86400/ },
    { name: 'limit of nothing', yaml: 'limits: {requests_in_flight: 0}', says: /^limits\.requests_in_flight: found 0; / },
    { name: 'store of another kind', yaml: 'store: {url: "mysql://u:hunter2@h/d"}', says: /^store\.url: found a value; must begin with postgres/ },
  ])('$name', async ({ yaml, says }) => {
    const found = await problems(yaml)
    expect(found).toHaveLength(1)
    if (typeof says === 'string') expect(found[0]).toBe(says)
    else expect(found[0]).toMatch(says)
  })

  test('all problems at once, each with its key', async () => {
    const found = await problems(
      'listen: {port: x, host: 0.0.0.0}\nstore: {pool_size: 1}\nlog: {level: loud}\nmaster: 1',
    )
    const keys = found.map((line) => line.split(':')[0])
    expect(keys).toEqual(
      expect.arrayContaining(['listen.port', 'store.pool_size', 'log.level', 'master']),
    )
  })

  test.for([
    {
      name: 'plain HTTP behind a proxy',
      yaml: 'listen: {host: 0.0.0.0, trusted_proxies: [10.0.0.0/8, "2001:db8::/32", loopback]}',
    },
    { name: 'plain HTTP on loopback', yaml: 'listen: {host: "::1"}' },
    {
      name: 'TLS on all addresses',
      yaml: 'listen: {host: 0.0.0.0, tls_certificate_file: a, tls_key_file: b}',
    },
    {
      name: 'provider on this machine',
      yaml: 'providers: {iam: {issuer: "http://127.0.0.1:8081/", audiences: [a]}}',
    },
  ])('sound: $name', async ({ yaml }) => {
    await load(yaml)
  })
})

describe('YAML', () => {
  test.for([
    {
      name: 'broken',
      yaml: 'store:\n  url: postgres://u:hunter2@h: d: x\n bad',
      says: /it is not valid YAML \([A-Z_]+\) at line \d+, column \d+$/,
    },
    {
      name: 'key twice',
      yaml: 'master_key: hunter2\nmaster_key: hunter2',
      says: /not valid YAML \(DUPLICATE_KEY\) at line 2/,
    },
    { name: 'alias of nothing', yaml: 'master_key: *hunter2', says: /not valid YAML/ },
    {
      name: 'billion laughs',
      yaml: `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
        .split('')
        .map(
          (name, index) =>
            `${name}: &${name} [${Array.from({ length: 9 }, () => `*${'abcdefg'[index]}`).join(',')}]`,
        )
        .join('\n')}`,
      says: /not valid YAML/,
    },
    { name: 'a list at the top', yaml: '- hunter2', says: /must be a YAML mapping/ },
    { name: 'a text at the top', yaml: 'hunter2', says: /must be a YAML mapping/ },
    {
      name: 'larger than 1 MiB',
      yaml: `# ${'x'.repeat(1_100_000)}`,
      says: /is longer than 1048576 bytes/,
    },
  ])('$name', async ({ yaml, says }) => {
    const error = await load(yaml).catch((failure: unknown) => failure)
    expect(error).toBeInstanceOf(TtsError)
    const { message, cause } = error as TtsError
    expect(message).toMatch(says)
    expect(`${message}${String(cause)}`).not.toContain('hunter2')
  })

  test('__proto__ pollutes nothing and is no key', async () => {
    expect(await problems('__proto__: {polluted: 1}')).toEqual([
      '__proto__: unknown key; docs/configuration.md lists all keys',
    ])
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })
})

describe('secrets are never shown', () => {
  const secret = `s3cret-${randomBytes(6).toString('hex')}`
  test.for([
    { name: 'client secret as list', yaml: iam(`    client_secret: [${secret}]`) },
    { name: 'client secret as mapping', yaml: iam(`    client_secret: {a: ${secret}}`) },
    { name: 'passphrase as list', yaml: `ca: {passphrase: [${secret}]}` },
    { name: 'master key as mapping', yaml: `master_key: {x: ${secret}}` },
    { name: 'connection string of another kind', yaml: `store: {url: "mysql://u:${secret}@h/d"}` },
    { name: 'connection string as the section', yaml: `store: "postgres://u:${secret}@h/d"` },
    {
      name: 'a secret in a section of another type',
      yaml: `providers: [{client_secret: ${secret}}]`,
    },
    {
      name: 'password in an issuer',
      yaml: `providers: {iam: {issuer: "https://u:${secret}@iam.example.org/", audiences: [a]}}`,
    },
    {
      name: 'password in public_url',
      yaml: `listen: {public_url: "nota url https://u:${secret}@h"}`,
    },
  ])('$name', async ({ yaml }) => {
    expect((await problems(yaml)).join('\n')).not.toContain(secret)
  })

  test('nor when they come by environment', async () => {
    const found = await problems('', {
      TTS_STORE__URL: `mysql://u:${secret}@h/d`,
      TTS_LISTEN__PORT: 'x',
    })
    expect(found.join('\n')).not.toContain(secret)
    expect(found).toHaveLength(2)
  })
})

describe('the environment', () => {
  // prettier-ignore
  test.for([
    { name: 'number', env: { TTS_LISTEN__PORT: '8443' }, at: (c: Loaded) => c.listen.port, value: 8443 },
    { name: 'in any letter case', env: { TTS_Listen__Port: '8443' }, at: (c: Loaded) => c.listen.port, value: 8443 },
    { name: 'boolean', env: { TTS_CA__SUBJECT_ALTERNATIVE_NAME: 'false' }, at: (c: Loaded) => c.ca.subject_alternative_name, value: false },
    { name: 'list', env: { TTS_LISTEN__TRUSTED_PROXIES: '[10.0.0.1, 10.0.0.2]' }, at: (c: Loaded) => c.listen.trusted_proxies, value: ['10.0.0.1', '10.0.0.2'] },
    { name: 'text with slashes', env: { TTS_CA__SUBJECT: '/DC=org/DC=example/CN=My CA' }, at: (c: Loaded) => c.ca.subject, value: '/DC=org/DC=example/CN=My CA' },
    { name: 'key with underscores', env: { TTS_LIMITS__REQUESTS_IN_FLIGHT: '7' }, at: (c: Loaded) => c.limits.requests_in_flight, value: 7 },
    { name: 'secret that looks like a number', env: { TTS_CA__PASSPHRASE: '0123' }, at: (c: Loaded) => c.ca.passphrase, value: '0123' },
    { name: 'secret that looks like a list', env: { TTS_CA__PASSPHRASE: '[a]' }, at: (c: Loaded) => c.ca.passphrase, value: '[a]' },
    { name: 'an IPv6 address', env: { TTS_LISTEN__HOST: '::1' }, at: (c: Loaded) => c.listen.host, value: '::1' },
    { name: 'empty is not set', env: { TTS_LISTEN__PORT: '' }, at: (c: Loaded) => c.listen.port, value: 8080 },
    { name: 'of an id with capitals', yaml: 'services: {Site_X: {plugin: info}}', env: { TTS_SERVICES__SITE_X__PRIORITY: '3' }, at: (c: Loaded) => c.services['Site_X']?.priority, value: 3 },
    { name: 'another prefix', env: { MYTTS_LISTEN__PORT: '1', TTSX: '1' }, at: (c: Loaded) => c.listen.port, value: 8080 },
  ])('$name', async ({ env, at, value, yaml = '' }) => {
    expect(at((await load(yaml, env as Environment)).configuration)).toEqual(value)
  })

  type Loaded = Awaited<ReturnType<typeof load>>['configuration']

  test('goes before the file, and the rest of the file stays', async () => {
    const { configuration, overrides } = await load('listen: {port: 1, host: localhost}', {
      TTS_LISTEN__PORT: '2',
    })
    expect(configuration.listen).toMatchObject({ port: 2, host: 'localhost' })
    expect(overrides).toEqual(['TTS_LISTEN__PORT'])
  })

  test('a whole provider and its rule', async () => {
    const { configuration } = await load('', {
      TTS_PROVIDERS__IAM__ISSUER: 'https://iam.example.org/',
      TTS_PROVIDERS__IAM__AUDIENCES: '[https://tts.example.org]',
      TTS_SERVICES__PROXY__AUTHZ__ALLOW:
        '[{provider: iam, claims: {wlcg.groups: {contains: /cms}}}]',
    })
    expect(configuration.providers['iam']).toMatchObject({
      issuer: 'https://iam.example.org/',
      audiences: ['https://tts.example.org'],
    })
    expect(configuration.services['proxy']?.authz.allow).toHaveLength(1)
    expect(configuration.services['proxy']?.plugin).toBe('x509-proxy')
  })

  test.for([
    { name: '__proto__', env: { TTS___PROTO____X: '1' } },
    { name: '__proto__ below', env: { TTS_LISTEN____PROTO____X: '1' } },
    { name: 'constructor', env: { TTS_CONSTRUCTOR__PROTOTYPE__X: '1' } },
    { name: 'no key', env: { TTS_: '1' } },
    { name: 'only underscores', env: { TTS______: '1' } },
    { name: 'odd letters', env: { 'TTS_A B"\n': '1' } },
    { name: 'aliases', env: { TTS_LISTEN__TRUSTED_PROXIES: '[&a x, *a]' } },
  ])('a hostile name or value is a plain problem: $name', async ({ env }) => {
    const found = await problems('', env)
    expect(found.length).toBeGreaterThan(0)
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
    expect(({} as Record<string, unknown>)['X']).toBeUndefined()
  })

  test('what Kubernetes adds for a Service called tts or tts-prod is no key of ours', async () => {
    const { configuration } = await load('', {
      TTS_SERVICE_HOST: '10.0.0.1',
      TTS_SERVICE_PORT: '443',
      TTS_SERVICE_PORT_HTTPS: '443',
      TTS_PORT: 'tcp://10.0.0.1:443',
      TTS_PORT_443_TCP: 'tcp://10.0.0.1:443',
      TTS_PORT_443_TCP_ADDR: '10.0.0.1',
      TTS_PROD_SERVICE_HOST: '10.0.0.1',
      TTS_PROD_2_SERVICE_PORT_PUBLIC: '80',
      TTS_PROD_2_PORT: 'tcp://10.0.0.1:80',
      TTS_PROD_2_PORT_80_TCP_PROTO: 'tcp',
    })
    expect(configuration.listen.port).toBe(8080)
    expect(await problems('', { TTS_PORT: '8443' })).toEqual([
      'port: unknown key; docs/configuration.md lists all keys',
    ])
    expect(await problems('', { TTS_LISTEN_PORT: '8443' })).toEqual([
      'listen_port: unknown key; docs/configuration.md lists all keys',
    ])
    const { configuration: own } = await load('', { TTS_LISTEN__PORT: '0' })
    expect(own.listen.port).toBe(0)
  })
})

describe('secrets in files', () => {
  test('are read, blanks around them left out', async () => {
    const file = write('secret', '  hunter2 \n')
    const { configuration } = await load(
      iam(`    client_id: tts\n    client_secret_file: ${file}\n    introspect: opaque`),
      {
        TTS_CA__PASSPHRASE_FILE: file,
      },
    )
    expect(configuration.providers['iam']?.client_secret).toBe('hunter2')
    expect(configuration.ca.passphrase).toBe('hunter2')
  })

  test('are found beside the configuration', async () => {
    write('beside', 'hunter2')
    expect((await load('ca: {passphrase_file: beside}')).configuration.ca.passphrase).toBe(
      'hunter2',
    )
  })

  test.for([
    {
      name: 'not there',
      file: () => join(directory, 'none'),
      says: /^ca\.passphrase_file: there is no file/,
    },
    {
      name: 'readable by others',
      file: () => write('open', 'hunter2', 0o644),
      says: /^ca\.passphrase_file: .*used by others/,
    },
    {
      name: 'empty',
      file: () => write('empty', '\n'),
      says: /^ca\.passphrase_file: the file .* is empty/,
    },
    {
      name: 'a directory',
      file: () => directory,
      says: /^ca\.passphrase_file: .*not a plain file/,
    },
    {
      name: 'too long',
      file: () => write('long', 'x'.repeat(70_000)),
      says: /^ca\.passphrase_file: .*longer than/,
    },
  ])('$name: refused, naming the key', async ({ file, says }) => {
    await expect(load(`ca: {passphrase_file: ${file()}}`)).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringMatching(says) as string,
    })
  })

  test('a connection string in a file is checked like one in the configuration', async () => {
    const file = write('url', 'mysql://u:hunter2@h/d')
    const error = await load(`store: {url_file: ${file}}`).catch((failure: unknown) => failure)
    expect(error).toMatchObject({
      code: 'configuration',
      message: expect.stringContaining('store.url_file') as string,
    })
    expect((error as Error).message).not.toContain('hunter2')
  })
})

describe('lifetimes that belong together', () => {
  async function services(yaml: string) {
    const { configuration } = await load(yaml)
    return createServices(configuration.services, {
      endEntityLifetimeSeconds: configuration.ca.end_entity_lifetime_seconds,
      vos: [],
      log: createLog({ level: 'silent', name: 'test' }),
    })
  }

  test('defaults', async () => {
    const all = await services('')
    expect(all.get('proxy')?.lifetimes).toEqual({
      defaultSeconds: 345_600,
      maximumSeconds: 604_800,
    })
    expect(all.get('x509')?.lifetimes).toEqual({ defaultSeconds: 950_400, maximumSeconds: 950_400 })
  })

  test('a smaller maximum brings the default down', async () => {
    const all = await services('services: {proxy: {maximum_lifetime_seconds: 3600}}')
    expect(all.get('proxy')?.lifetimes).toEqual({ defaultSeconds: 3600, maximumSeconds: 3600 })
  })

  test.for([
    {
      yaml: 'services: {proxy: {default_lifetime_seconds: 7200, maximum_lifetime_seconds: 3600}}',
      says: /^services\.proxy\.default_lifetime_seconds: found 7200; must be at most maximum_lifetime_seconds, 3600/,
    },
    {
      yaml: 'services: {proxy: {maximum_lifetime_seconds: 950400}}',
      says: /^services\.proxy\.maximum_lifetime_seconds: found 950400; must be at least a day less/,
    },
    {
      yaml: 'ca: {end_entity_lifetime_seconds: 604800}',
      says: /^services\.proxy\.maximum_lifetime_seconds: found 604800/,
    },
  ])('$yaml', async ({ yaml, says }) => {
    await expect(services(yaml)).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringMatching(says) as string,
    })
  })
})

test('the words of the validator are never shown', async () => {
  const yaml = `listen: { port: 99999, host: 7 }
limits: { body_bytes: 1, token_bytes: 1.5, requests_in_flight: many }
ca: { key_kind: dsa, lifetime_days: [] }
providers: { iam: { issuer: 5, audiences: [] } }
services: { proxy: { plugin: nope } }
store: x
`
  const error = await load(yaml).catch((failure: unknown) => failure)
  const { message } = error as TtsError
  expect(message).toContain('listen.port: found 99999; must be at most 65535')
  expect(message).toContain('limits.token_bytes: found 1.5; must be a whole number')
  expect(message).toContain('store: found "x"; must be a mapping of keys to values')
  expect(message).not.toMatch(/Invalid|expected|Too |received|Unrecognized/)
})

import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { loadSettings, type LoadedSettings } from '../../../src/certcache/settings/load-settings.ts'
import { temporaryDirectory } from '../engine-support.ts'

type Environment = Record<string, string>
const user = 1000
const home = { HOME: '/home/alice' }

async function load(
  file: object | undefined,
  environment: Environment = {},
): Promise<LoadedSettings> {
  const directory = await temporaryDirectory()
  const path = join(directory, 'certcache.yaml')
  await writeFile(path, stringify(file ?? {}), { mode: 0o600 })
  return loadSettings(path, { environment: { ...home, ...environment }, uid: user })
}

const valueAt = (tree: unknown, key: string): unknown =>
  key.split('.').reduce((place, part) => (place as Record<string, unknown>)[part], tree)

describe('defaults', () => {
  test('a user', async () => {
    const { settings, notes } = await load({})
    const directory = '/home/alice/.local/state/certcache'
    expect(settings).toMatchObject({
      service: { url: 'http://127.0.0.1:8080', timeout_seconds: 60 },
      source: { kind: 'auto', scopes: ['openid', 'profile', 'offline_access'] },
      state: { directory, key_file: `${directory}/state.key`, cluster: 'default' },
      renewal: { renew_below: 0.667, jitter: 0.1, warn_below_seconds: 43_200 },
      listen: { host: '127.0.0.1', port: 8081 },
      access: { mode: 'local' },
    })
    const output = { path: `${directory}/gwms_proxy`, mode: '0600', format: 'pem' }
    expect(settings.proxies['gwms_proxy']?.outputs).toMatchObject([output])
    expect(notes).toEqual([])
  })

  test('root', async () => {
    const directory = await temporaryDirectory()
    const path = join(directory, 'certcache.yaml')
    await writeFile(path, '{}')
    const { settings } = await loadSettings(path, { environment: {}, uid: 0 })
    expect(settings.state.directory).toBe('/var/lib/certcache')
  })

  test('with PostgreSQL nothing is written unasked', async () => {
    const state = { url: 'postgres://host/db', key_file: '/k' }
    expect((await load({ state })).settings.proxies['gwms_proxy']?.outputs).toEqual([])
  })
})

/** Old name, value, the key that it sets, what the key is then. */
const oldNames: readonly (readonly [string, string, string, unknown])[] = [
  ['IAM_TOKEN', 'a.b.c', 'source.token', 'a.b.c'],
  ['IAM_TOKEN', ' 12345678901234567890 ', 'source.token', '12345678901234567890'],
  ['IAM_CLIENT_ID', '42', 'source.client_id', '42'],
  ['IAM_CLIENT_SECRET', '1e5', 'source.client_secret', '1e5'],
  ['IAM_REFRESH_TOKEN', 'r', 'source.refresh_token', 'r'],
  ['PROXY_IAM_ENDPOINT', 'https://iam.example.org/', 'source.issuer', 'https://iam.example.org/'],
  ['PROXY_IAM_ENDPOINT', 'https://iam.example.org', 'source.issuer', 'https://iam.example.org'],
  ['PROXY_TTS', 'https://tts.example.org', 'service.url', 'https://tts.example.org'],
  [
    'PROXY_CREDENTIAL_ENDPOINT',
    'https://tts.example.org/api/v2/iam/credential',
    'service.url',
    'https://tts.example.org',
  ],
  [
    'PROXY_CREDENTIAL_ENDPOINT',
    'https://example.org/tts/api/v1/credential/',
    'service.url',
    'https://example.org/tts',
  ],
  ['PROXY_AUDIENCE', 'dodas', 'source.audience', 'dodas'],
  ['PROXY_LOCAL_CACHE_EXPIRATION_TIME', '259200', 'renewal.renew_after_seconds', 259_200],
  ['PROXY_CACHE_DIR', '/cache', 'state.directory', '/cache/certcache'],
  ['PROXY_CACHE_DIR', '/cache', 'proxies.gwms_proxy.outputs.0.path', '/cache/userproxy.pem'],
]

describe('names of the old cache', () => {
  test.for(oldNames)('%s=%s sets %s', async ([name, value, key, wanted]) => {
    const extra = name === 'IAM_CLIENT_ID' ? { PROXY_IAM_ENDPOINT: 'https://iam.example.org' } : {}
    const { settings, notes, overrides } = await load({}, { ...extra, [name]: value })
    expect(valueAt(settings, key)).toEqual(wanted)
    expect(overrides).toContain(name)
    expect(notes).toEqual([])
  })

  const files = {
    IAM_TOKEN: { source: { token: 'new' } },
    IAM_CLIENT_SECRET: { source: { client_secret: 'new' } },
    PROXY_TTS: { service: { url: 'https://new.example.org' } },
    PROXY_AUDIENCE: { source: { audience: 'new' } },
    PROXY_LOCAL_CACHE_EXPIRATION_TIME: { renewal: { renew_after_seconds: 77 } },
    PROXY_CACHE_DIR: { state: { directory: '/new' }, proxies: { gwms_proxy: {} } },
  }
  test.for(Object.entries(files))("%s: today's key wins, and it is said", async ([name, file]) => {
    const value = name.endsWith('TIME') ? '259200' : 'https://old.example.org'
    const { settings, notes, overrides } = await load(file, { [name]: value })
    expect(settings).toMatchObject(file)
    expect(overrides).toEqual([])
    expect(notes).toEqual([expect.stringMatching(`^${name} is ignored: .* (is|are) set`)])
    expect(notes.join()).not.toContain('old')
  })

  test('a name of today in the environment wins too', async () => {
    const environment = { PROXY_AUDIENCE: 'old', CERTCACHE_SOURCE__AUDIENCE: 'new' }
    const { settings, notes } = await load({}, environment)
    expect(settings.source.audience).toBe('new')
    expect(notes).toEqual(['PROXY_AUDIENCE is ignored: source.audience is set to another value'])
  })

  test('the same in both is nothing to speak of', async () => {
    const environment = {
      PROXY_TTS: 'https://tts.example.org/',
      PROXY_CREDENTIAL_ENDPOINT: 'https://tts.example.org/api/v2/credential',
    }
    const { settings, notes } = await load({}, environment)
    expect(settings.service.url).toBe('https://tts.example.org/')
    expect(notes).toEqual([])
  })

  const unused: readonly (readonly [Environment, RegExp])[] = [
    [{ PROXY_LOCK_FILE_AGE: '20' }, /locks do not expire/],
    [{ ZOOKEEPER_HOST_LIST: 'zk:2181' }, /use PostgreSQL \(state.url_file\)/],
    [{ MARATHON_USER: 'u' }, /use PostgreSQL \(state.url_file\)/],
    [{ MARATHON_PASSWD: 'p' }, /remove the password/],
  ]
  test.for(unused)('%o is answered', async ([environment, wanted]) => {
    const { notes } = await load({}, environment)
    expect(notes).toEqual([expect.stringMatching(wanted)])
  })

  test.for(['', 'MEMORY', 'memory'])('CACHE_MANAGER=%s is fine', async (value) => {
    expect((await load({}, { CACHE_MANAGER: value })).notes).toEqual([])
  })

  test.for(['ZOOKEEPER', 'marathon'])(
    'CACHE_MANAGER=%s: says where the state is',
    async (value) => {
      const kept = await load({ state: { directory: '/state' } }, { CACHE_MANAGER: value })
      expect(kept.notes[0]).toBe(
        `CACHE_MANAGER=${value.toUpperCase()} is ignored: the state is kept in /state. Run only one certcache with it; for several use PostgreSQL (state.url_file and state.key_file)`,
      )
      // A file system that is lost with the machine, whether or not the directory is already there.
      const directory = '/dev/shm/certcache-that-is-not-there/state'
      expect((await load({ state: { directory } }, { CACHE_MANAGER: value })).notes[1]).toBe(
        `${directory} is lost with this container: mount a volume there, or a new access token is needed each time`,
      )
      const state = { url: 'postgres://host/db', key_file: '/k' }
      const { notes } = await load({ state }, { CACHE_MANAGER: value })
      expect(notes).toEqual([expect.stringContaining('state is in PostgreSQL')])
    },
  )
})

const problems: readonly (readonly [string, object, Environment, RegExp])[] = [
  ['an unknown key', { sauce: {} }, {}, /sauce: unknown key/],
  ['an unknown name', {}, { CERTCACHE_LISTEN_PORT: '1' }, /listen_port: unknown key/],
  ['a bad expiration time', {}, { PROXY_LOCAL_CACHE_EXPIRATION_TIME: '3d' }, /number of seconds/],
  ['an endpoint that is none', {}, { PROXY_CREDENTIAL_ENDPOINT: 'https://x/y' }, /a URL such as/],
  ['an unknown manager', {}, { CACHE_MANAGER: 'REDIS' }, /must be MEMORY/],
  ['plain http to another machine', { service: { url: 'http://tts.example.org' } }, {}, /https/],
  ['a client without issuer', { source: { client_id: 'x' } }, {}, /source.issuer: /],
  ['refresh without client', { source: { kind: 'refresh' } }, {}, /source.client_id: /],
  [
    'half a delegation',
    { source: { delegation_id: 'x' } },
    {},
    /together with renewal_secret_file/,
  ],
  ['PostgreSQL without key', { state: { url: 'postgres://h/d' } }, {}, /state.key_file: /],
  ['an octal number', { proxies: { a: { outputs: [{ path: 'p', mode: 600 }] } } }, {}, /in quotes/],
  [
    'a mode for everybody',
    { proxies: { a: { outputs: [{ path: 'p', mode: '0644' }] } } },
    {},
    /"0600", "0400"/,
  ],
  ['a name that is a path', { proxies: { '../x': {} } }, {}, /letters, digits/],
  ['no proxy', { proxies: {} }, {}, /1 to 32/],
  [
    'retries that shrink',
    { renewal: { retry_first_seconds: 10, retry_longest_seconds: 5 } },
    {},
    /at least retry_first_seconds/,
  ],
  ['a network for all', { listen: { host: '0.0.0.0' } }, {}, /access.mode to restricted/],
  ['restricted without a way in', { access: { mode: 'restricted' } }, {}, /one of secret_file/],
  [
    'a secret in clear over a network',
    { listen: { host: '0.0.0.0' }, access: { mode: 'restricted', secret: 's'.repeat(16) } },
    {},
    /cross the network unencrypted/,
  ],
  ['a short secret', { access: { mode: 'restricted', secret: 'short' } }, {}, /16 characters/],
]

describe('what cannot be', () => {
  test.for(problems)('%s', async ([, file, environment, wanted]) => {
    await expect(load(file, environment)).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringMatching(wanted),
    })
  })

  test('no value of a secret is shown', async () => {
    const secret = 'very-secret-value'
    const file = {
      source: { token: [secret], client_secret: { a: secret } },
      access: { secret: [secret] },
      state: { url: `mysql://u:${secret}@h/d` },
    }
    const error = await load(file).catch((failure: unknown) => failure)
    expect(String(error)).toContain('source.token: found a value')
    expect(String(error)).not.toContain(secret)
  })

  test('secrets in a file that others can read', async () => {
    const directory = await temporaryDirectory()
    const path = join(directory, 'certcache.yaml')
    await writeFile(path, 'source: { token: secret }')
    await chmod(path, 0o644)
    const failure = loadSettings(path, { environment: home, uid: user })
    await expect(failure).rejects.toMatchObject({
      code: 'configuration',
      check: 'file_mode',
      remedy: `Run chmod 600 '${path}'.`,
    })
    // Without a secret in it anybody may read it.
    await writeFile(path, 'service: { url: "https://tts.example.org" }')
    const { settings } = await loadSettings(path, { environment: home, uid: user })
    expect(settings.service.url).toBe('https://tts.example.org')
  })
})

describe('secrets in files', () => {
  test('are read, and paths stand beside the configuration', async () => {
    const directory = await temporaryDirectory()
    const path = join(directory, 'certcache.yaml')
    await writeFile(join(directory, 'secret'), ' hush \n', { mode: 0o600 })
    await writeFile(join(directory, 'workers'), 'a-long-enough-secret\n', { mode: 0o600 })
    const source = {
      issuer: 'https://iam.example.org',
      client_id: 'c',
      client_secret_file: 'secret',
      refresh_token_file: 'secret',
      token_file: 'token',
    }
    const access = { mode: 'restricted', secret_file: 'workers' }
    await writeFile(path, stringify({ source, access, state: { directory: 'kept' } }))
    const { settings } = await loadSettings(path, { environment: home, uid: user })
    expect(settings.source).toMatchObject({ client_secret: 'hush', refresh_token: 'hush' })
    // It is read each time, so it may be absent now.
    expect(settings.source.token_file).toBe(join(directory, 'token'))
    expect(settings.source.token).toBeUndefined()
    expect(settings.access.secret).toBe('a-long-enough-secret')
    expect(settings.state.directory).toBe(join(directory, 'kept'))
    expect(Object.isFrozen(settings.source)).toBe(true)
  })

  test('that others can read are refused', async () => {
    const directory = await temporaryDirectory()
    await writeFile(join(directory, 'secret'), 'hush')
    await chmod(join(directory, 'secret'), 0o644)
    const path = join(directory, 'certcache.yaml')
    await writeFile(path, stringify({ source: { refresh_token_file: 'secret' } }))
    const failure = loadSettings(path, { environment: home, uid: user })
    await expect(failure).rejects.toMatchObject({ code: 'configuration', check: 'file_mode' })
  })
})

describe('the environment', () => {
  test('names of hooks, workers and Kubernetes are no keys', async () => {
    const environment = {
      CERTCACHE_PROXY_NAME: 'x',
      CERTCACHE_URL: 'http://certcache:8081',
      CERTCACHE_SERVICE_HOST: '10.0.0.1',
      CERTCACHE_PORT: 'tcp://10.0.0.1:8081',
      CERTCACHE_PORT_8081_TCP_ADDR: '10.0.0.1',
      CERTCACHE_PROXIES_SERVICE_HOST: '10.0.0.1',
      CERTCACHE_PROXIES_SERVICE_PORT_HTTPS: '443',
      CERTCACHE_PROXIES_PORT: 'tcp://10.0.0.1:443',
      CERTCACHE_PROXIES_PORT_443_TCP_PORT: '443',
      CERTCACHE_WORKER_WAIT: '5',
    }
    expect((await load({}, environment)).overrides).toEqual([])
  })

  test('every key has a name', async () => {
    const environment = {
      CERTCACHE_SERVICE__URL: 'https://tts.example.org',
      CERTCACHE_SOURCE__TOKEN: '12345',
      CERTCACHE_RENEWAL__RENEW_BELOW: '0.5',
      CERTCACHE_LOG_LEVEL: 'debug',
    }
    const { settings } = await load({ renewal: { renew_below: 0.9 } }, environment)
    expect(settings).toMatchObject({
      service: { url: 'https://tts.example.org' },
      source: { token: '12345' },
      renewal: { renew_below: 0.5 },
      log_level: 'debug',
    })
  })
})

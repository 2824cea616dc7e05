import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import type { StatusReport } from '../../src/certcache/status.ts'
import { getProxyScript, runShell } from '../deploy/shells.ts'
import { answerDevice, browser } from '../support/device-person.ts'
import { programPath, runToEnd, type Started, startProgram } from '../support/programs.ts'
import { type OutsideWorld, startOutsideWorld } from './outside-world.ts'

const run = promisify(execFile)

let world: OutsideWorld
let token = ''
const path = (name: string): string => join(world.directory, name)
beforeAll(async () => {
  world = await startOutsideWorld({ delegation: {} })
  token = await world.logIn()
  writeFileSync(path('token'), token, { mode: 0o600 })
})
const running: Started[] = []
afterEach(async () => {
  for (const { child, ended } of running.splice(0)) {
    child.kill('SIGKILL')
    await ended
  }
})
afterAll(async () => {
  await world.end()
})

const main = (): string => programPath('src/certcache/main.ts')
const environment = (name: string, more: Record<string, string> = {}): Record<string, string> => ({
  CERTCACHE_SERVICE__URL: world.serviceUrl,
  CERTCACHE_STATE__DIRECTORY: path(name),
  CERTCACHE_LISTEN__PORT: '0',
  ...more,
})
const withToken = () => ({ BEARER_TOKEN_FILE: path('token') })
const certcache = async (words: readonly string[], env: Record<string, string>) =>
  runToEnd(main(), words, { cwd: world.directory, env })

async function serve(env: Record<string, string>, words: readonly string[] = []) {
  const started = startProgram(main(), ['serve', ...words], { cwd: world.directory, env })
  running.push(started)
  const [, url = ''] = await started.says(/"certcache\.started","url":"(http:[^"]+)"/)
  return { ...started, url }
}
async function statusOf(url: string): Promise<StatusReport> {
  const { out } = await certcache(['status', '--json', '--url', url], {})
  return JSON.parse(out) as StatusReport
}

describe('certcache serve', () => {
  test('from a token to workers, and on without it', async () => {
    const env = environment('served')
    const { CERTCACHE_SERVICE__URL: url = '', ...others } = env
    const first = await serve({ ...others, ...withToken() }, ['--url', url])
    // A worker that was there first, as the old scripts ask.
    const worker = join(world.directory, 'worker')
    mkdirSync(worker)
    await run(
      'bash',
      [
        '-c',
        `resp=0; until [ $resp -eq 200 ]; do
    resp=$(curl -s -w%{http_code} $PROXY_CACHE/cgi-bin/get_proxy -o gwms_proxy)
done; chmod 600 gwms_proxy`,
      ],
      { cwd: worker, env: { PATH: process.env['PATH'], PROXY_CACHE: first.url }, timeout: 30_000 },
    )
    const got = readFileSync(join(worker, 'gwms_proxy'), 'utf8')
    expect(parseProxyFile(got).privateKey).toBeDefined()
    // The file comes a moment after the answer.
    await expect.poll(() => existsSync(path('served/gwms_proxy'))).toBe(true)
    expect(readFileSync(path('served/gwms_proxy'), 'utf8')).toBe(got)
    expect(statSync(path('served/gwms_proxy')).mode & 0o777).toBe(0o600)

    const report = await statusOf(first.url)
    expect(report).toMatchObject({
      condition: 'ok',
      access: { mode: 'local' },
      source: { kind: 'delegation', ended: null },
      proxies: [{ name: 'gwms_proxy', last_error: null, attempts: { succeeded: 1, failed: 0 } }],
    })
    const human = await certcache(['status', '--url', first.url], {})
    expect(human.code).toBe(0)
    expect(human.out).toMatch(/^OK: gwms_proxy is valid for \d/)
    expect(await (await fetch(`${first.url}/health`)).text()).toBe('OK')
    const metrics = await (await fetch(`${first.url}/metrics`)).text()
    expect(metrics).toContain('certcache_renewals_total{proxy="gwms_proxy",result="succeeded"} 1')
    const byScript = await runShell(['sh', getProxyScript], {
      env: { CERTCACHE_URL: first.url, CERTCACHE_WORKER_OUT: join(worker, 'other') },
    })
    expect(byScript).toEqual({ code: 0, out: `${join(worker, 'other')}\n`, err: '' })
    expect(readFileSync(join(worker, 'other'), 'utf8')).toBe(got)

    first.child.kill('SIGHUP')
    await first.says(/settings\.reloaded/)
    expect(await (await fetch(`${first.url}/get_proxy`)).text()).toBe(got)
    first.child.kill('SIGTERM')
    expect(await first.ended).toBe(0)
    expect(first.stdout()).toContain('"certcache.stopped"')
    expect(first.stderr()).toBe('')
    for (const secret of [token, 'PRIVATE', 'tts_renew_'])
      expect(first.stdout().includes(secret)).toBe(false)

    // With no token, and even with no service.
    const second = await serve(
      environment('served', { CERTCACHE_SERVICE__URL: 'http://127.0.0.1:9' }),
    )
    await second.says(/gwms_proxy is valid for/)
    expect(await (await fetch(`${second.url}/get_proxy`)).text()).toBe(got)
    second.child.kill('SIGINT')
    expect(await second.ended).toBe(0)

    const afterwards = await certcache(['status', '--state', path('served')], {})
    expect(afterwards.out).toContain(`reported by  : the state in ${path('served')}\n`)
    expect(afterwards.code).toBe(0)
  })

  test('without any token it waits for one, and says why', async () => {
    const started = await serve(environment('waiting', { XDG_RUNTIME_DIR: path('no-runtime') }))
    const asked = await fetch(`${started.url}/get_proxy`)
    expect(asked.status).toBe(503)
    expect(Number(asked.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await asked.text()).toMatch(/^No valid proxy is available: .*token.*\n$/)
    expect((await fetch(`${started.url}/health`)).status).toBe(503)
    const status = await certcache(['status', '--url', started.url], {})
    expect(status.code).toBe(2)
    expect(status.out).toMatch(/^CRITICAL: There is no valid proxy gwms_proxy: .*token/)
    started.child.kill('SIGTERM')
    expect(await started.ended).toBe(0)
  })
})

describe('certcache refresh', () => {
  test('renews, then has nothing to do; --valid asks for more', async () => {
    const env = environment('cron', withToken())
    const file = path('cron-proxy')
    const words = ['refresh', '--out', file]
    const first = await certcache(words, env)
    expect(first).toEqual({
      code: 0,
      out: expect.stringMatching(/^gwms_proxy: renewed, valid for /) as string,
      err: '',
    })
    const before = readFileSync(file, 'utf8')
    const second = await certcache([...words, '--valid', '1h', '--quiet'], environment('cron'))
    expect(second).toEqual({ code: 0, out: '', err: '' })
    expect(readFileSync(file, 'utf8')).toBe(before)
    const third = await certcache([...words, '--valid', '365d'], environment('cron'))
    expect(third.out).toMatch(/renewed/)
    expect(readFileSync(file, 'utf8')).not.toBe(before)
  })

  test('twice at once: one renewal, both well', async () => {
    const issued = await world.issued()
    const env = environment('twice', withToken())
    const file = path('twice-proxy')
    const runs = await Promise.all(
      [1, 2, 3].map(async () => certcache(['refresh', '--out', file], env)),
    )
    expect(runs.map(({ code, err }) => ({ code, err }))).toEqual(
      Array.from({ length: 3 }, () => ({ code: 0, err: '' })),
    )
    expect(await world.issued()).toBe(issued + 1)
    expect(parseProxyFile(readFileSync(file, 'utf8')).certificates.length).toBeGreaterThan(1)
  })

  test.for([
    { name: 'no token', env: { XDG_RUNTIME_DIR: '/nonexistent' }, code: 3, says: 'token' },
    {
      name: 'a token that is refused',
      env: { BEARER_TOKEN: 'not.a.token' },
      code: 3,
      says: 'refuse',
    },
    {
      name: 'a service that is down',
      env: { CERTCACHE_SERVICE__URL: 'http://127.0.0.1:9', BEARER_TOKEN: 'x.y.z' },
      code: 4,
      says: 'http://127.0.0.1:9',
    },
    {
      name: 'a key that is not there',
      env: { CERTCACHE_STAT__URL: 'x' },
      code: 2,
      says: 'unknown key',
    },
    {
      name: 'a cache manager that there never was',
      env: { CACHE_MANAGER: 'REDIS' },
      code: 2,
      says: 'CACHE_MANAGER: must be MEMORY, or unset',
    },
  ])('$name: $code', async ({ env, code, says }) => {
    const given = environment(`refused-${code}-${says.length}`, env)
    const ended = await certcache(['refresh', '--out', path('never')], given)
    expect(ended.code).toBe(code)
    expect(ended.out).toBe('')
    expect(ended.err).toContain(says)
    expect(ended.err).not.toMatch(/ {4}at |eyJ/)
    expect(existsSync(path('never'))).toBe(false)
  })

  test('with the names of the old cache', async () => {
    const { ownClient } = world
    const env = {
      CACHE_MANAGER: 'ZOOKEEPER',
      ZOOKEEPER_HOST_LIST: 'zk1:2181,zk2:2181',
      CERTCACHE_STATE__DIRECTORY: path('old-names'),
      IAM_TOKEN: await world.logIn(),
      IAM_CLIENT_ID: String(ownClient['client_id']),
      IAM_CLIENT_SECRET: String(ownClient['client_secret']),
      PROXY_IAM_ENDPOINT: String(ownClient['issuer']),
      PROXY_AUDIENCE: String(ownClient['audience']),
      PROXY_TTS: world.serviceUrl,
      PROXY_CREDENTIAL_ENDPOINT: `${world.serviceUrl}/api/v2/iam/credential`,
    }
    const ended = await certcache(['refresh'], env)
    expect({ code: ended.code, err: ended.err }).toEqual({
      code: 0,
      err: `note: ZOOKEEPER_HOST_LIST is ignored: ZooKeeper is not supported; use PostgreSQL (state.url_file) for several certcaches
note: CACHE_MANAGER=ZOOKEEPER is ignored: the state is kept in ${path('old-names')}. Run only one certcache with it; for several use PostgreSQL (state.url_file and state.key_file)
`,
    })
    expect(existsSync(path('old-names/gwms_proxy'))).toBe(true)
  })
})

describe('certcache login', () => {
  test('a person agrees once; then it renews by itself', async () => {
    const { issuer, client_id, client_secret, audience } = world.ownClient
    writeFileSync(path('client'), String(client_secret), { mode: 0o600 })
    const env = environment('login', {
      CERTCACHE_SOURCE__ISSUER: String(issuer),
      CERTCACHE_SOURCE__CLIENT_ID: String(client_id),
      CERTCACHE_SOURCE__CLIENT_SECRET_FILE: path('client'),
      CERTCACHE_SOURCE__AUDIENCE: String(audience),
    })
    const login = startProgram(main(), ['login'], { cwd: world.directory, env })
    running.push(login)
    const [, uri = ''] = await login.says(/^Open {3}(\S+)$/m)
    const [, code = ''] = await login.says(/^and enter {3}(\S+)$/m)
    await answerDevice({ verificationUri: uri, userCode: code, username: 'alice' })
    expect(await login.ended).toBe(0)
    expect(login.stdout()).toContain('Logged in.')
    expect(login.stderr()).toBe('')
    const refreshed = await certcache(['refresh'], env)
    expect(refreshed).toEqual({
      code: 0,
      out: expect.stringContaining('gwms_proxy: renewed') as string,
      err: '',
    })
    const { out } = await certcache(['status', '--json', '--state', path('login')], env)
    expect((JSON.parse(out) as StatusReport).source.kind).toBe('refresh')
  })

  test('--browser: a person agrees in a browser of this machine', async () => {
    const { issuer, audience } = world.ownClient
    const env = environment('browser', {
      CERTCACHE_SOURCE__ISSUER: String(issuer),
      CERTCACHE_SOURCE__CLIENT_ID: world.provider.clients.cli.clientId,
      CERTCACHE_SOURCE__AUDIENCE: String(audience),
    })
    const login = startProgram(main(), ['login', '--browser'], { cwd: world.directory, env })
    running.push(login)
    const [, url = ''] = await login.says(/^Open in a browser on this machine {3}(\S+)$/m)
    const go = browser()
    const page = await go(url)
    expect((await go(page.url, { username: 'alice' })).text).toMatch(
      /^certcache has received the answer/,
    )
    expect(await login.ended).toBe(0)
    expect(login.stdout()).toContain('Logged in.')
    expect(login.stderr()).toBe('')
    const refreshed = await certcache(['refresh'], env)
    expect(refreshed.err).toBe('')
    expect(refreshed.code).toBe(0)
    const { out } = await certcache(['status', '--json', '--state', path('browser')], env)
    expect((JSON.parse(out) as StatusReport).source.kind).toBe('refresh')
  })
})

describe('as it is deployed', () => {
  test('a job in Kubernetes: a delegation in variables, and nothing else', async () => {
    const made = await fetch(`${world.serviceUrl}/v1/delegations`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}` },
    })
    const { id, renewal_secret: secret } = (await made.json()) as Record<string, string>
    const ended = await certcache(
      ['refresh', '--quiet', '--valid', '12h', '--out', path('job-proxy'), '--state', path('job')],
      {
        CERTCACHE_SERVICE__URL: world.serviceUrl,
        CERTCACHE_SOURCE__DELEGATION_ID: id ?? '',
        CERTCACHE_SOURCE__RENEWAL_SECRET: secret ?? '',
      },
    )
    expect(ended).toEqual({ code: 0, out: '', err: '' })
    expect(parseProxyFile(readFileSync(path('job-proxy'), 'utf8')).privateKey).toBeDefined()
  })

  test('its version is that of its package', () => {
    const words = [main(), '--version']
    const version = execFileSync(process.execPath, words, { encoding: 'utf8', env: {} })
    const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
    expect(version.trim()).toBe((JSON.parse(file) as { version: string }).version)
  })
})

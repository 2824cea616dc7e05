import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Command } from 'commander'
import { createCertcacheProgram } from '../../src/certcache/cli/program.ts'
import type { HeldProxy } from '../../src/certcache/proxy-engine.ts'
import { encodeState } from '../../src/certcache/state/state-records.ts'
import { TtsError } from '../../src/base/errors.ts'
import type { GrantClient, Granted } from '../../src/grants/grant.ts'
import { type CertcacheRun, runToItsEnd, startCertcache } from './cli-support.ts'
import { ask, makeHeldProxy, standInEngine } from './server-support.ts'

let proxy: HeldProxy
let directory = ''
const path = (name: string): string => join(directory, name)
beforeAll(async () => {
  proxy = await makeHeldProxy()
  directory = mkdtempSync(join(tmpdir(), 'certcache-cli-test-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const running: CertcacheRun[] = []
afterEach(async () => {
  for (const run of running.splice(0)) {
    run.stop()
    await run.ended
  }
})
function warmEngine() {
  const engine = standInEngine()
  engine.put(proxy)
  return engine
}
async function serve(
  words: readonly string[] = [],
  options: Parameters<typeof startCertcache>[1] = {},
) {
  const run = startCertcache(['serve', '--port', '0', ...words], {
    engine: warmEngine(),
    ...options,
  })
  running.push(run)
  const started = () => run.logged().find(({ event }) => event === 'certcache.started')
  await Promise.race([expect.poll(started).toBeDefined(), run.ended])
  return { ...run, url: String(started()?.['url']) }
}

describe('serve', () => {
  test('its first lines tell where it listens, what it keeps and until when', async () => {
    const now = () => new Date(proxy.obtainedAt.getTime() + 1000)
    const { logged, url } = await serve([], { now })
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    const lines = logged()
    expect(lines.map(({ level }) => level)).toEqual(['info', 'info', 'info'])
    expect(lines[0]?.['msg']).toBe(`listening on ${url}; workers fetch /get_proxy/gwms_proxy`)
    expect(lines[1]).toMatchObject({
      event: 'certcache.keeps',
      proxy: 'gwms_proxy',
      subject: proxy.subject,
      not_after: proxy.notAfter.toISOString(),
      msg: 'gwms_proxy is valid for 3 days 23 hours',
    })
    expect(lines[2]).toMatchObject({
      msg: 'It renews until its refresh token ends.',
      kind: 'delegation',
    })
    expect((await ask(url, '/cgi-bin/get_proxy')).body.equals(proxy.pem)).toBe(true)
  })

  test('SIGTERM ends it in order, a second one at once', async () => {
    const engine = standInEngine()
    const run = await serve([], { engine })
    const waiting = ask(run.url, '/get_proxy')
    await expect.poll(() => engine.obtained.count).toBe(1)
    run.stop()
    await expect.poll(() => run.logged().at(-1)?.['event']).toBe('certcache.stopping')
    expect(engine.closed).toBe(false)
    engine.put(proxy)
    expect((await waiting).status).toBe(200)
    expect(await run.ended).toBe(0)
    expect(run.logged().at(-1)).toMatchObject({ event: 'certcache.stopped' })
    expect(engine.closed).toBe(true)
    expect(run.endedNow).toEqual([])
    run.stop('SIGINT')
    expect(run.endedNow).toEqual([1])
  })

  test('the engine is closed after the server, and when that cannot listen', async () => {
    const first = await serve()
    const engine = warmEngine()
    let closed = 0
    engine.close = () => {
      closed += 1
      return Promise.resolve()
    }
    const second = startCertcache(['serve', '--port', new URL(first.url).port], { engine })
    expect(await second.ended).toBe(2)
    expect(second.notes()).toMatch(
      /^certcache: cannot listen on 127\.0\.0\.1 port \d+: another program listens there\n {2}what to do: /,
    )
    expect(closed).toBe(1)
  })

  test('the command line wins over environment and file', async () => {
    writeFileSync(
      path('c.yaml'),
      'service: { url: https://file.example.org }\nlisten: { port: 1 }\n',
    )
    const words = ['--config', path('c.yaml'), '--url', 'https://line.example.org/']
    const more = ['--token-file', 'token', '--out', 'proxy.pem', '--state', 'kept']
    const environment = {
      CERTCACHE_SERVICE__URL: 'https://environment.example.org',
      CERTCACHE_LISTEN__HOST: '127.0.0.1',
    }
    const run = await serve([...words, ...more], { environment, directory })
    const { settings, parts } = run.opened[0] ?? {}
    expect(settings).toMatchObject({
      service: { url: 'https://line.example.org/' },
      source: { token_file: path('token') },
      state: { directory: path('kept') },
      listen: { port: 0 },
      proxies: { gwms_proxy: { outputs: [{ path: path('proxy.pem') }] } },
    })
    expect(parts).toMatchObject({ background: true })
  })

  test.for([
    { words: ['--port', 'eighty'], says: 'listen.port: found "eighty"' },
    { words: ['--url', 'http://tts.example.org'], says: 'service.url' },
    { words: ['--config', '/nonexistent/c.yaml'], says: '/nonexistent/c.yaml' },
    { words: ['--no-such'], says: "unknown option '--no-such'" },
    {
      environment: { CERTCACHE_LISTEN__HOST: '0.0.0.0' },
      says: 'everybody who can reach this address',
    },
    { environment: { CACHE_MANAGER: 'REDIS' }, says: 'CACHE_MANAGER: must be MEMORY, or unset' },
    {
      environment: { CERTCACHE_PROXIES__B__SERVICE: 'x' },
      words: ['--out', 'f'],
      says: '--out: can only be used with the single proxy',
    },
  ])('$words $environment end it with 2', async ({ words = [], environment = {}, says }) => {
    const run = startCertcache(['serve', ...words], {
      environment,
    })
    expect(await run.ended).toBe(2)
    expect(run.notes()).toContain(says)
    expect(run.opened).toEqual([])
    expect(run.out()).toBe('')
  })

  test('SIGHUP reads settings and secrets again', async () => {
    const secret = (letter: string): string => letter.repeat(20)
    writeFileSync(path('secret'), secret('a'), { mode: 0o600 })
    const settings = (level: string) =>
      writeFileSync(path('h.yaml'), `access: { secret_file: secret }\nlog_level: ${level}\n`)
    settings('info')
    const run = await serve(['--config', path('h.yaml')])
    const status = async (letter: string) =>
      (await ask(run.url, '/get_proxy', { headers: { Authorization: `Bearer ${secret(letter)}` } }))
        .status
    expect([await status('a'), await status('b')]).toEqual([200, 401])
    writeFileSync(path('secret'), secret('b'), { mode: 0o600 })
    run.reload()
    await expect.poll(() => run.logged().at(-1)?.['event']).toBe('settings.reloaded')
    expect([await status('a'), await status('b')]).toEqual([401, 200])
    expect(run.reloaded).toHaveLength(1)

    writeFileSync(path('h.yaml'), 'no_such_key: 1\n')
    run.reload()
    await expect.poll(() => run.logged().at(-1)?.['event']).toBe('settings.reload-failed')
    expect(await status('b')).toBe(200)
    writeFileSync(path('h.yaml'), 'access: { secret_file: secret }\nlisten: { host: "::1" }\n')
    run.reload()
    await expect
      .poll(() => run.logged().find(({ event }) => event === 'settings.restart-needed'))
      .toMatchObject({ keys: ['listen.host'] })
    expect(JSON.stringify(run.logged())).not.toContain(secret('b'))
  })
})

describe('refresh', () => {
  const good = (name: string) => `${name}: nothing to do, valid for 3 days 23 hours\n`
  const now = () => new Date(proxy.obtainedAt.getTime() + 1000)

  test('says what it did, and closes the engine', async () => {
    const engine = warmEngine()
    const wanted: unknown[] = []
    engine.renewIfDue = (asked) => {
      wanted.push(asked)
      return Promise.resolve({ renewed: wanted.length > 1, proxy })
    }
    const run = startCertcache(['refresh', '--valid', '12h'], { engine, now })
    expect(await run.ended).toBe(0)
    expect(run.out()).toBe(good('gwms_proxy'))
    expect(run.opened[0]?.parts.background).toBe(false)
    const second = startCertcache(['refresh'], { engine, now })
    expect(await second.ended).toBe(0)
    expect(second.out()).toBe('gwms_proxy: renewed, valid for 3 days 23 hours\n')
    expect(wanted).toEqual([
      { name: 'gwms_proxy', validForSeconds: 43_200 },
      { name: 'gwms_proxy', validForSeconds: undefined },
    ])
  })

  test.for([
    { renewed: false, says: 'nothing to do, another certcache with this state renews it' },
    { renewed: true, says: 'renewed by another certcache with this state' },
  ])('beside one that holds the lock: $says', async ({ renewed, says }) => {
    const engine = warmEngine()
    engine.renewIfDue = async () => ({ renewed, proxy, hasOtherRenewer: true })
    const run = await runToItsEnd(['refresh', '--valid', '12h'], { engine, now })
    expect(run).toMatchObject({
      code: 0,
      out: `gwms_proxy: ${says}, valid for 3 days 23 hours\n`,
    })
  })

  test.for([
    { valid: '12h', isLonger: false },
    { valid: '97:00', isLonger: true },
    // 96 hours when it was issued, and a second less now.
    { valid: '4d', isLonger: true },
  ])('--valid $valid beyond what the service gives: $isLonger', async ({ valid, isLonger }) => {
    const engine = warmEngine()
    engine.renewIfDue = async () => ({ renewed: true, proxy })
    const run = await runToItsEnd(['refresh', '-q', '--valid', valid], { engine, now })
    expect(run).toMatchObject({ code: 0, out: '' })
    if (isLonger)
      expect(run.notes).toMatch(
        /^certcache: warning: --valid 4 days.* is longer than the new proxy gwms_proxy is valid \(3 days 23 hours\), so every run renews it; /,
      )
    else expect(run.notes).toBe('')
  })

  test('--out - prints the proxy alone', async () => {
    const engine = warmEngine()
    const run = startCertcache(['refresh', '--out', '-'], { engine, now })
    expect(await run.ended).toBe(0)
    expect(run.out()).toBe(proxy.pem.toString())
    expect(run.notes()).toBe(good('gwms_proxy'))
    expect(run.opened[0]?.settings.proxies['gwms_proxy']?.outputs).toEqual([])
  })

  const pathsThatFail = [
    { name: 'pipe', says: 'pipe is not a plain file; it is not replaced' },
    { name: 'directory', says: 'directory is not a plain file; it is not replaced' },
    { name: 'link', says: 'link is a symbolic link' },
    { name: 'none/proxy', says: 'cannot be written: the file or its directory does not exist' },
    { name: 'file/proxy', says: 'cannot be written: a part of the path is not a directory' },
    { name: 'file', says: 'file is not a proxy file; it is not replaced' },
  ]
  for (const command of ['refresh', 'serve'])
    test.for(pathsThatFail)(
      `${command} --out $name asks nothing of the service`,
      async ({ name, says }) => {
        const directory = mkdtempSync(join(tmpdir(), 'certcache-out-'))
        onTestFinished(() => rmSync(directory, { recursive: true }))
        execFileSync('mkfifo', [join(directory, 'pipe')])
        mkdirSync(join(directory, 'directory'))
        writeFileSync(join(directory, 'file'), 'hello')
        symlinkSync(join(directory, 'nowhere'), join(directory, 'link'))
        const engine = standInEngine()
        const asked = vi.spyOn(engine, 'renewIfDue')
        const run = await runToItsEnd([command, '--out', name], { engine, now, directory })
        expect(run).toMatchObject({ code: 2, out: '' })
        expect(run.notes).toContain(says)
        expect(run.notes).toContain('what to do: ')
        expect(asked).not.toHaveBeenCalled()
      },
    )

  test('serve cannot write to standard output', async () => {
    const run = await runToItsEnd(['serve', '--out', '-'], {})
    expect(run).toMatchObject({ code: 2, out: '' })
    expect(run.notes).toContain('use `certcache refresh --out -`')
  })

  test('--quiet is quiet when all is well', async () => {
    const run = await runToItsEnd(['refresh', '-q'], { engine: warmEngine() })
    expect(run).toEqual({ code: 0, out: '', notes: '' })
  })

  test('--proxy takes one of several', async () => {
    const engine = standInEngine(['a', 'b'])
    engine.put({ ...proxy, name: 'b' })
    expect(await runToItsEnd(['refresh', '--proxy', 'b'], { engine, now })).toEqual({
      code: 0,
      out: good('b'),
      notes: '',
    })
    const { code, notes } = await runToItsEnd(['refresh', '--proxy', 'c'], { engine })
    expect(code).toBe(5)
    expect(notes).toBe(
      'certcache: the settings have no proxy c\n  what to do: Name one of: a, b.\n',
    )
  })

  test.for([
    { error: 'provider_unavailable', code: 4 },
    { error: 'overloaded', code: 4 },
    { error: 'grant_refused', code: 3 },
    { error: 'delegation_ended', code: 3 },
    { error: 'missing_token', code: 3 },
    { error: 'configuration', code: 2 },
    { error: 'internal', code: 1 },
  ] as const)('$error ends it with $code', async ({ error, code }) => {
    const engine = warmEngine()
    engine.fail(new TtsError(error, 'why it failed', { remedy: 'what helps' }))
    const run = await runToItsEnd(['refresh', '--quiet'], { engine, now })
    expect(run).toEqual({
      code,
      out: '',
      notes:
        'gwms_proxy: not renewed; the old proxy is valid for 3 days 23 hours\n' +
        'certcache: why it failed\n  what to do: what helps\n',
    })
    expect(engine.closed).toBe(true)
  })

  test('one that fails does not keep the others from being renewed', async () => {
    const engine = standInEngine(['a', 'b', 'c'])
    engine.renewIfDue = ({ name = '' }) =>
      name === 'b'
        ? Promise.resolve({ renewed: true, proxy })
        : Promise.reject(new TtsError('provider_unavailable', `no ${name}`))
    const run = await runToItsEnd(['refresh'], { engine, now })
    expect(run).toEqual({
      code: 4,
      out: 'b: renewed, valid for 3 days 23 hours\n',
      notes: 'c: no c\ncertcache: no a\n',
    })
  })

  test.for([['--valid', 'soon'], ['--timeout', '0'], ['--timeout', 'x'], ['extra']])(
    '%s ends it with 2',
    async (words) => {
      expect((await runToItsEnd(['refresh', ...words])).code).toBe(2)
    },
  )
})

describe('status', () => {
  const at = (date: Date, seconds: number) => () => new Date(date.getTime() + seconds * 1000)

  test('of a running certcache, on one screen', async () => {
    const now = at(proxy.obtainedAt, 1800)
    const { url } = await serve([], { now })
    const run = await runToItsEnd(['status', '--url', url], { now })
    const day = (date: Date): string => date.toISOString().slice(0, 16).replace('T', ' ')
    expect(run).toEqual({
      code: 0,
      notes: '',
      out: `OK: gwms_proxy is valid for 3 days 23 hours

proxy        : gwms_proxy
subject      : ${proxy.subject}
valid until  : ${day(proxy.notAfter)} UTC, in 3 days 23 hours
obtained     : ${day(proxy.obtainedAt)} UTC, 30 minutes ago
attempts     : 1 succeeded, 0 failed

renewal by   : delegation d-1
note         : It renews until its refresh token ends.
reported by  : certcache at ${url}, running for 0 seconds
`,
    })
  })

  const lastError = {
    at: new Date(),
    code: 'grant_refused',
    message: 'the account is disabled',
    remedy: 'ask the administrator of the IAM to enable it',
  }
  test.for([
    { name: 'good', renewal: {}, code: 0, first: /^OK: / },
    {
      name: 'renewal fails',
      renewal: { lastError, nextAttemptAt: new Date() },
      code: 1,
      first:
        /^WARNING: Renewal of gwms_proxy fails: the account is disabled\.\n {2}what to do: ask the administrator/,
    },
    {
      name: 'little life is left',
      left: 3600,
      code: 1,
      first:
        /^WARNING: The proxy gwms_proxy expires in 1 hour; at least 12 hours should be left\.\n/,
    },
    {
      name: 'renewal is over',
      source: { ended: 'the delegation was revoked' },
      code: 1,
      first:
        /^WARNING: Renewal has ended: the delegation was revoked\.\n[^]*\nended +: the delegation was revoked\n/,
    },
    {
      name: 'renewal ends in 4 days',
      source: { renewsUntil: 4 * 86_400, advice: 'Bring a new token before.' },
      code: 1,
      first: /^WARNING: Renewal ends in 4 days: Bring a new token before\.\n/,
    },
    { name: 'renewal ends in 6 days', source: { renewsUntil: 6 * 86_400 }, code: 0, first: /^OK/ },
    {
      name: 'a token that ends in an hour, renewed by others',
      source: { kind: 'token', renewsUntil: 3600 },
      code: 0,
      first: /^OK/,
    },
    {
      name: 'a token that ends in three minutes, because no renewal can be had',
      source: {
        kind: 'token',
        renewsUntil: 180,
        advice: 'Replace the token.',
        withoutRenewal: 'the service does not offer delegations',
      },
      code: 1,
      first: /^WARNING: Renewal ends in 3 minutes: Replace the token\.\n/,
    },
    {
      name: 'a token of unknown end, because no renewal can be had',
      source: { kind: 'token', withoutRenewal: 'the service does not offer delegations' },
      code: 1,
      first: /^WARNING: Renewal ends with the token: the service does not offer delegations\.\n/,
    },
    {
      name: 'nothing in hand',
      drop: true,
      renewal: { lastError },
      code: 2,
      first: /^CRITICAL: There is no valid proxy gwms_proxy: the account is disabled\.\n/,
    },
    {
      name: 'it ended',
      left: 0,
      code: 2,
      first: /^CRITICAL: There is no valid proxy gwms_proxy\.\n/,
    },
    {
      name: 'being obtained',
      drop: true,
      renewal: { renewing: true },
      code: 2,
      first: /^CRITICAL: [^]*yet; it is being requested\.\n[^]*next attempt +: in progress/,
    },
  ])('$name: $code', async ({ renewal = {}, source, left, drop, code, first }) => {
    const engine = warmEngine()
    const now = left === undefined ? at(proxy.obtainedAt, 60) : at(proxy.notAfter, -left)
    engine.renewal = renewal
    const { renewsUntil, ...rest } = { renewsUntil: undefined, ...source } as {
      renewsUntil?: number
    }
    engine.source = {
      ...engine.source,
      ...rest,
      renewsUntil: renewsUntil === undefined ? undefined : at(now(), renewsUntil)(),
    }
    if (drop) engine.drop()
    const { url } = await serve([], { engine, now })
    const run = await runToItsEnd(['status', '--url', url], { now })
    expect(run.out).toMatch(first)
    expect(run.code).toBe(code)
    expect(run.out.split('\n').length).toBeLessThan(24)
    const json = await runToItsEnd(['status', '--json'], {
      now,
      environment: { CERTCACHE_URL: url },
    })
    expect(json.code).toBe(code)
    const report = JSON.parse(json.out) as { condition: string; proxies: unknown[] }
    expect(report.condition).toBe(['ok', 'warning', 'critical'][code])
    expect(report.proxies).toHaveLength(1)
  })

  test('finds the running one by the settings: port, socket, secret', async () => {
    const secret = 'a-secret-of-this-test-only'
    writeFileSync(path('s.secret'), secret, { mode: 0o600 })
    writeFileSync(path('s.yaml'), `access: { secret_file: s.secret }\nlisten: { socket: s.sock }\n`)
    await serve(['--config', path('s.yaml')])
    expect((await runToItsEnd(['status', '--config', path('s.yaml')])).code).toBe(0)
    const bySocket = ['status', '--socket', path('s.sock')]
    const refused = await runToItsEnd(bySocket)
    expect(refused.code).toBe(3)
    expect(refused.out).toMatch(
      /^UNKNOWN: .* denies access: The secret of this certcache is required/,
    )
    expect(refused.notes).toContain('--secret-file')
    expect((await runToItsEnd([...bySocket, '--secret-file', path('s.secret')])).code).toBe(0)
    const environment = { CERTCACHE_SECRET_FILE: path('s.secret') }
    expect((await runToItsEnd(bySocket, { environment })).code).toBe(0)

    const other = await serve()
    writeFileSync(path('p.yaml'), `listen: { port: ${new URL(other.url).port} }\n`)
    const byPort = await runToItsEnd(['status', '--config', path('p.yaml')])
    expect(byPort.out).toContain(`reported by  : certcache at ${other.url}`)
  })

  test('with none running, from the state directory', async () => {
    mkdirSync(path('state'), { recursive: true })
    writeFileSync(path('state/default.proxies.sealed'), '')
    const environment = { CERTCACHE_LISTEN__PORT: '9', CERTCACHE_STATE__DIRECTORY: path('state') }
    const now = at(proxy.obtainedAt, 60)
    const run = startCertcache(['status'], { engine: warmEngine(), environment, now })
    expect(await run.ended).toBe(0)
    expect(run.out()).toContain(
      `reported by  : the state in ${path('state')}; a certcache at http://127.0.0.1:9 does not answer\n`,
    )
    expect(run.opened[0]?.parts).toMatchObject({ background: false, readOnly: true })
    // A directory that is named is read, whoever answers.
    const named = await runToItsEnd(['status', '--state', path('state')], {
      engine: warmEngine(),
      now,
    })
    expect(named.out).toContain(`reported by  : the state in ${path('state')}\n`)
  })

  test.for(['none', 'empty'])('nothing there at all: 3 (%s)', async (name) => {
    mkdirSync(path('empty'), { recursive: true })
    const environment = { CERTCACHE_LISTEN__PORT: '9', CERTCACHE_STATE__DIRECTORY: path(name) }
    const run = await runToItsEnd(['status'], { environment })
    expect(run.code).toBe(3)
    expect(run.out).toBe(`UNKNOWN: no certcache is running, and ${path(name)} holds no state\n`)
  })

  test.for([
    {
      words: ['--url', 'http://127.0.0.1:9'],
      says: 'http://127.0.0.1:9 does not answer: no program listens there',
    },
    {
      words: ['--socket', '/nonexistent/s'],
      says: '/nonexistent/s does not answer: the socket does not exist',
    },
    { words: ['--url', 'ftp://x'], says: '--url or CERTCACHE_URL: must be an http or https URL' },
    {
      words: ['--url', 'http://secret-in-url@tts.example.org'],
      says: 'cross the network to http://tts.example.org unencrypted',
    },
    { words: ['--secret-file', '/nonexistent'], says: '/nonexistent' },
    { words: ['--config', '/nonexistent'], says: '/nonexistent' },
  ])('$words: 3, as Nagios knows it', async ({ words, says }) => {
    const run = await runToItsEnd(['status', ...words])
    expect(run.code).toBe(3)
    expect(run.out).toMatch(/^UNKNOWN: /)
    expect(run.out).toContain(says)
    expect(run.out + run.notes).not.toContain('secret-in-url')
  })

  test('an option that is not there: 3 too', async () => {
    expect((await runToItsEnd(['status', '--no-such'])).code).toBe(3)
  })

  test.for([
    { name: 'another server', answer: '<html>', code: 200 },
    { name: 'other JSON', answer: '{"condition":"ok"}', code: 200 },
    { name: 'an error', answer: '', code: 500 },
  ])('$name: 3', async ({ answer, code }) => {
    const server = createServer((_request, response) => response.writeHead(code).end(answer))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const run = await runToItsEnd(['status', '--url', `http://127.0.0.1:${port}`])
    server.close()
    expect(run.code).toBe(3)
    expect(run.out).toContain(`does not answer like a certcache (HTTP ${code})`)
  })
})

describe('login', () => {
  const granted: Granted = {
    accessToken: 'access-token-made-here',
    refreshToken: 'refresh-token-made-here',
    expiresAt: new Date('2026-11-23T13:00:00Z'),
    refreshExpiresAt: undefined,
    scope: 'openid offline_access',
  }
  const now = () => new Date('2026-11-23T12:00:00Z')
  const settings = {
    CERTCACHE_SOURCE__ISSUER: 'https://iam.example.org/',
    CERTCACHE_SOURCE__CLIENT_ID: 'certcache',
    PROXY_AUDIENCE: 'https://tts.example.org',
  }
  function parts(result: Granted | TtsError) {
    const deposited: Buffer[] = []
    const asked: object[] = []
    const client: Pick<GrantClient, 'startDevice'> = {
      startDevice: (request) => {
        asked.push(request)
        return Promise.resolve({
          verificationUri: 'https://iam.example.org/device',
          verificationUriComplete: 'https://iam.example.org/device?user_code=ABCD-EFGH',
          userCode: 'ABCD-EFGH',
          expiresAt: new Date(now().getTime() + 600_000),
          wait: (signal) =>
            result instanceof TtsError
              ? Promise.reject(result)
              : signal.aborted
                ? Promise.reject(new TtsError('grant_refused', 'given up'))
                : Promise.resolve(result),
        })
      },
    }
    let closed = 0
    const state = {
      deposit: (content: Uint8Array) => {
        deposited.push(Buffer.from(content))
        return Promise.resolve()
      },
      close: () => {
        closed += 1
        return Promise.resolve()
      },
    }
    const options = {
      now,
      environment: settings,
      grantClient: (source: object) => {
        asked.push(source)
        return client as GrantClient
      },
      openState: () => Promise.resolve(state as never),
    }
    return { options, deposited, asked, closed: () => closed }
  }

  test('what the provider writes does not steer the terminal', async () => {
    const { options } = parts(granted)
    const client = options.grantClient({})
    const grantClient = (): GrantClient => ({
      ...client,
      startDevice: async (request) => ({
        ...(await client.startDevice(request)),
        verificationUri: 'https://iam.example.org/\u001b[2J',
        verificationUriComplete: 'https://iam.example.org/\u009b1m',
        userCode: 'AB\u202eCD\nwrong',
      }),
    })
    const run = await runToItsEnd(['login'], { ...options, grantClient })
    expect(run.code).toBe(0)
    expect(run.out).toMatch(
      /^Open {3}https:\/\/iam\.example\.org\/\?\[2J\nand enter {3}AB\?CD\?wrong\nor open {3}https:\/\/iam\.example\.org\/\?1m\n/,
    )
  })

  test('prints URL and code, and leaves the refresh token in the state', async () => {
    const { options, deposited, asked, closed } = parts(granted)
    const run = await runToItsEnd(['login'], options)
    expect(run).toEqual({
      code: 0,
      notes: '',
      out: `Open   https://iam.example.org/device
and enter   ABCD-EFGH
or open   https://iam.example.org/device?user_code=ABCD-EFGH
Waiting for 10 minutes; Ctrl-C cancels.
Logged in. certcache renews the proxies from now on; see \`certcache status\`.
`,
    })
    expect(asked).toEqual([
      expect.objectContaining({ issuer: 'https://iam.example.org/', client_id: 'certcache' }),
      expect.objectContaining({
        audience: 'https://tts.example.org',
        scopes: ['openid', 'profile', 'offline_access'],
      }),
    ])
    expect(deposited).toHaveLength(1)
    const content = JSON.parse(deposited[0]?.toString() ?? '') as { id: string }
    expect(content.id).toMatch(/^[0-9a-f-]{36}$/)
    expect(deposited[0]?.toString()).toBe(
      encodeState('incoming', {
        id: content.id,
        issuer: 'https://iam.example.org/',
        client_id: 'certcache',
        refresh_token: 'refresh-token-made-here',
        granted_at: now(),
        access: { token: 'access-token-made-here', expires_at: new Date('2026-11-23T13:00:00Z') },
      }).toString(),
    )
    expect(closed()).toBe(1)
  })

  test.for([
    {
      result: new TtsError('grant_refused', 'the login was denied', { check: 'device_denied' }),
      code: 3,
      says: 'the login was denied',
    },
    { result: new TtsError('provider_unavailable', 'it is down'), code: 4, says: 'it is down' },
    {
      result: { ...granted, refreshToken: undefined },
      code: 3,
      says: 'did not grant a refresh token',
    },
  ])('$says: $code, and nothing is kept', async ({ result, code, says }) => {
    const { options, deposited } = parts(result)
    const run = await runToItsEnd(['login'], options)
    expect(run.code).toBe(code)
    expect(run.notes).toContain(says)
    expect(deposited).toEqual([])
    expect(run.out + run.notes).not.toContain('token-made-here')
  })

  test('without a client of our own: what to set', async () => {
    const run = await runToItsEnd(['login'])
    expect(run.code).toBe(2)
    expect(run.notes).toContain('source.client_id')
  })
})

describe('help', () => {
  const program = createCertcacheProgram({ out: () => undefined, note: () => undefined } as never, {
    version: '0',
  })
  const all: readonly { name: string; words: readonly string[]; command: Command }[] = [
    { name: 'certcache', words: [], command: program },
    ...program.commands.map((command) => ({
      name: `certcache ${command.name()}`,
      words: [command.name()],
      command,
    })),
  ]
  test('there are the commands that there must be', () => {
    expect(program.commands.map((command) => command.name())).toEqual([
      'serve',
      'refresh',
      'status',
      'login',
      'version',
      'completion',
    ])
  })
  test.for(all)('$name --help teaches', async ({ words, command }) => {
    const { code, out, notes } = await runToItsEnd([...words, '--help'])
    expect({ code, notes }).toEqual({ code: 0, notes: '' })
    expect(out).toMatch(/Examples:\n {2}\S/)
    for (const { long, description, flags } of command.options) {
      expect(out).toContain(long)
      expect(description).toMatch(/\w{3}/)
      expect(flags).toMatch(/^(-\w, )?--[a-z-]+( <[A-Z]+>)?$/)
    }
    expect(out).toContain('--config <FILE>')
  })
  test.for([
    { words: [], code: 2 },
    { words: ['no-such-command'], code: 2 },
    { words: ['--version'], code: 0 },
  ])('certcache $words ends with $code', async ({ words, code }) => {
    expect((await runToItsEnd(words)).code).toBe(code)
  })
})

describe('docs/certcache.md', () => {
  const text = readFileSync(new URL('../../docs/certcache.md', import.meta.url), 'utf8')
  const section = (heading: string): string => {
    const [, after = ''] = text.split(`\n${heading}\n`)
    return after.split(/^#{2,3} /m)[0] ?? ''
  }
  const program = createCertcacheProgram({ out: () => undefined, note: () => undefined } as never, {
    version: '0',
  })
  test.for(program.commands.map((command) => ({ name: command.name(), command })))(
    'has the options of $name, and no other',
    ({ name, command }) => {
      const rows = [...section(`### certcache ${name}`).matchAll(/^\| `(-[^`]*)`/gm)].map(
        ([, flags]) => flags,
      )
      const wanted = command.options.map(({ flags }) => flags)
      expect(rows.filter((flags) => flags !== '-c, --config <FILE>')).toEqual(wanted)
    },
  )

  test('has every metric, with its labels', async () => {
    const { url } = await serve()
    const told = await (await fetch(`${url}/metrics`)).text()
    // Those of the process are the same for all programs on Node.
    const names = [...told.matchAll(/^# TYPE (certcache_\w+) /gm)].map(([, name = '']) => name)
    expect(names.length).toBeGreaterThan(10)
    const known = section('## Metrics')
    const documented = [...known.matchAll(/`(certcache_\w+)(?:\{([\w,]*)\})?`/g)]
    expect(documented.map(([, name = '']) => name).sort()).toEqual(names.sort())
    for (const [, name = '', labels = ''] of documented) {
      const sample = new RegExp(`^${name}(?:\\{(.*)\\})? `, 'm').exec(told)
      if (!sample) continue
      const found = [...(sample[1] ?? '').matchAll(/(\w+)="/g)].map(([, label]) => label)
      expect([name, found.join()]).toEqual([name, labels])
    }
  })

  test('has the exit codes', () => {
    const rows = [...section('## Exit codes').matchAll(/^\| (\d) /gm)].map(([, code]) =>
      Number(code),
    )
    expect(rows).toEqual([0, 1, 2, 3, 4, 5])
  })

  test('has every old name of the environment', async () => {
    const source = readFileSync(
      new URL('../../src/certcache/settings/environment.ts', import.meta.url),
      'utf8',
    )
    const names = new Set(source.match(/\b(IAM|PROXY|ZOOKEEPER|MARATHON|CACHE)_[A-Z_]+\b/g))
    expect(names.size).toBeGreaterThan(10)
    const about = section("## From DODAS's ttscache")
    for (const name of names) expect(about).toContain(`\`${name}\``)
  })

  test('names files of deploy/ that are there', () => {
    for (const [, name = ''] of text.matchAll(/`(deploy\/[^`]*)`/g))
      expect([name, existsSync(new URL(`../../${name}`, import.meta.url))]).toEqual([name, true])
  })
})

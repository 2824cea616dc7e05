import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  type AccessSettings,
  createAccessRules,
  isLoopbackHostHeader,
} from '../../../src/certcache/server/access.ts'
import type { HeldProxy } from '../../../src/certcache/proxy-engine.ts'
import type { ServerOptions } from '../../../src/certcache/server/server.ts'
import {
  ask,
  type AskOptions,
  serverSettings,
  makeHeldProxy,
  standInEngine,
  testServer,
  type TestServer,
} from '../server-support.ts'

const run = promisify(execFile)
const SECRET = `made-for-this-run-${process.pid}-${Date.now().toString(36)}`

let proxy: HeldProxy
let directory = ''
const path = (name: string): string => join(directory, name)
const read = (name: string): string => readFileSync(path(name), 'utf8')
beforeAll(async () => {
  proxy = await makeHeldProxy()
  directory = mkdtempSync(join(tmpdir(), 'certcache-access-'))
  for (const name of ['server', 'clients', 'strangers']) makeAuthority(name)
  makeClient('client', 'clients')
  makeClient('stranger', 'strangers')
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const openssl = (words: string): void =>
  void execFileSync('openssl', words.split(' '), { cwd: directory, stdio: 'pipe' })
const newKey = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'

/** A self-signed certificate that serves as CA, and as server certificate of 127.0.0.1. */
function makeAuthority(name: string): void {
  const about = `-subj /CN=${name} -addext subjectAltName=IP:127.0.0.1 -days 2`
  openssl(`req -x509 ${newKey} ${about} -keyout ${name}.key -out ${name}.pem`)
}
function makeClient(name: string, authority: string): void {
  openssl(`req ${newKey} -subj /CN=${name} -keyout ${name}.key -out ${name}.csr`)
  const by = `-CA ${authority}.pem -CAkey ${authority}.key`
  openssl(`x509 -req -in ${name}.csr ${by} -set_serial 7 -days 2 -out ${name}.pem`)
}

const open: TestServer[] = []
afterEach(async () => {
  for (const server of open.splice(0)) await server.close(0)
})
async function start(
  changes: Parameters<typeof serverSettings>[0],
  parts: Partial<ServerOptions> = {},
): Promise<TestServer> {
  const engine = standInEngine()
  engine.put(proxy)
  const server = await testServer(engine, { settings: serverSettings(changes), ...parts })
  open.push(server)
  return server
}
const tlsFiles = () => ({
  tls_certificate_file: path('server.pem'),
  tls_key_file: path('server.key'),
})
const trusted = () => ({ ca: read('server.pem') })
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`
/** Without a secret, without a private key. */
const noSecrets = (texts: readonly string[]): void => {
  for (const text of texts) {
    expect(text).not.toContain(SECRET)
    expect(text).not.toContain('PRIVATE')
  }
}

describe('local: the Host header', () => {
  test.for([
    { host: 'localhost', lets: true },
    { host: 'localhost:8081', lets: true },
    { host: 'LOCALHOST:8081', lets: true },
    { host: '127.0.0.1', lets: true },
    { host: '127.0.0.1:8081', lets: true },
    { host: '127.9.9.9:1', lets: true },
    { host: '[::1]', lets: true },
    { host: '[::1]:8081', lets: true },
    { host: '', lets: false },
    { host: 'evil.example.org', lets: false },
    { host: 'evil.example.org:8081', lets: false },
    { host: '127.0.0.1.evil.example.org', lets: false },
    { host: 'localhost.evil.example.org', lets: false },
    { host: 'evil.example.org:127.0.0.1', lets: false },
    { host: 'evil@127.0.0.1', lets: false },
    { host: '10.0.0.1', lets: false },
    { host: '0.0.0.0', lets: false },
    { host: '[::]', lets: false },
    { host: '[fe80::1]', lets: false },
    { host: '::1', lets: false },
    { host: 'localhost:8081:8081', lets: false },
    { host: 'localhost, evil.example.org', lets: false },
  ])('$host: $lets', async ({ host, lets }) => {
    expect(isLoopbackHostHeader(host)).toBe(lets)
    // A client of node puts one in.
    if (host === '') return
    const server = await start({})
    for (const each of ['/get_proxy', '/cgi-bin/get_proxy', '/status', '/health', '/metrics']) {
      const { status, text } = await server.ask(each, { headers: { Host: host } })
      expect([each, status]).toEqual([each, lets ? 200 : 403])
      if (!lets) expect(text).toContain('serves this machine only')
    }
    if (!lets) expect((await server.ask('/other', { headers: { Host: host } })).status).toBe(403)
  })

  test('any text lets in only what names loopback', () => {
    fc.assert(
      fc.property(fc.string(), (host) => {
        const name = host.replace(/:\d{1,5}$/, '').toLowerCase()
        expect(isLoopbackHostHeader(host)).toBe(
          /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(name),
        )
      }),
    )
  })
})

describe('what is configured together', () => {
  const network = '0.0.0.0'
  test.for([
    { listen: {}, access: {}, starts: true },
    { listen: { host: '::1' }, access: {}, starts: true },
    { listen: { host: 'localhost' }, access: {}, starts: true },
    { listen: { host: network }, access: {}, says: 'everybody who can reach this address' },
    { listen: { host: '::' }, access: {}, says: 'everybody who can reach this address' },
    { listen: { host: '192.0.2.1' }, access: {}, says: 'everybody who can reach' },
    {
      listen: { host: network },
      access: { mode: 'restricted', secret: SECRET },
      says: 'unencrypted',
    },
    {
      listen: { host: network, tls: true },
      access: { mode: 'restricted' },
      says: 'one of secret_file, client_ca_file, allow',
    },
    {
      listen: { host: network, tls: true },
      access: { mode: 'restricted', secret: SECRET },
      starts: true,
    },
    {
      listen: { host: network, tls: true },
      access: { mode: 'restricted', allow: ['192.0.2.0/24'] },
      starts: true,
    },
    {
      listen: { host: network, tls: true },
      access: { mode: 'restricted', allow: ['0.0.0.0/0'] },
      says: 'access.allow: 0.0.0.0/0 allows every address',
    },
    {
      listen: { host: network, tls: true },
      access: { mode: 'restricted', allow: ['10.0.0.0/8', '::/0'] },
      says: 'access.allow: ::/0 allows every address',
    },
    {
      listen: { host: network, tls: true },
      access: { mode: 'restricted', secret: 'with blanks in between it' },
      says: 'without blanks',
    },
    { listen: {}, access: { client_ca_file: '/ca.pem' }, says: 'needs TLS' },
    { listen: { host: network }, access: { mode: 'anyone_who_reaches_the_port' }, starts: true },
  ])('$listen $access', async ({ listen, access, starts, says }) => {
    const { tls, ...rest } = listen
    // Past the schema, which says the same: the server itself refuses.
    const base = serverSettings({ listen: tls ? tlsFiles() : {} })
    const settings = {
      ...base,
      listen: { ...base.listen, ...rest },
      access: { ...base.access, ...(access as Partial<AccessSettings>) },
    }
    const opened = testServer(standInEngine(), { settings })
    if (starts) open.push(await opened)
    else
      await expect(opened).rejects.toMatchObject({
        code: 'configuration',
        message: expect.stringContaining(says ?? '') as string,
      })
  })
})

describe('restricted by a secret', () => {
  const authorization = (value: string | undefined): AskOptions => ({
    headers: value === undefined ? {} : { Authorization: value },
    tls: trusted(),
  })
  const cases = [
    { name: 'bearer', value: () => `Bearer ${SECRET}`, status: 200 },
    { name: 'bearer in small letters', value: () => `bearer ${SECRET}`, status: 200 },
    { name: 'password', value: () => basic(`anyone:${SECRET}`), status: 200 },
    { name: 'password of no user', value: () => basic(`:${SECRET}`), status: 200 },
    { name: 'user of no password', value: () => basic(`${SECRET}:`), status: 200 },
    { name: 'user', value: () => basic(SECRET), status: 200 },
    { name: 'none', value: () => undefined, status: 401 },
    { name: 'an empty header', value: () => '', status: 401 },
    { name: 'an empty bearer', value: () => 'Bearer ', status: 401 },
    { name: 'another', value: () => 'Bearer not-the-secret-of-this-one', status: 401 },
    { name: 'one letter less', value: () => `Bearer ${SECRET.slice(0, -1)}`, status: 401 },
    { name: 'one letter more', value: () => `Bearer ${SECRET}x`, status: 401 },
    { name: 'other letter case', value: () => `Bearer ${SECRET.toUpperCase()}`, status: 401 },
    { name: 'another scheme', value: () => `Digest ${SECRET}`, status: 401 },
    { name: 'no scheme', value: () => SECRET, status: 401 },
    { name: 'empty user and password', value: () => basic(':'), status: 401 },
    {
      name: 'half in each',
      value: () => basic(`${SECRET.slice(0, 9)}:${SECRET.slice(9)}`),
      status: 401,
    },
    { name: 'no base64', value: () => 'Basic ???', status: 401 },
  ] as const
  test.for(cases)('$name: $status', async ({ value, status }) => {
    const server = await start({
      listen: tlsFiles(),
      access: { mode: 'restricted', secret: SECRET },
    })
    for (const each of [
      '/get_proxy',
      '/cgi-bin/get_proxy/gwms_proxy',
      '/get_proxy/none',
      '/status',
    ]) {
      const told = await server.ask(each, authorization(value()))
      const wanted = status === 200 && each === '/get_proxy/none' ? 404 : status
      expect([each, told.status]).toEqual([each, wanted])
      if (wanted !== 401) continue
      expect(told.headers['www-authenticate']).toBe(
        'Bearer realm="certcache", Basic realm="certcache"',
      )
      expect(told.text).toMatch(/^The secret (of this certcache is required|is wrong).*\.\n$/)
      noSecrets([told.text])
    }
    for (const each of ['/health', '/metrics'])
      expect([each, (await server.ask(each, authorization(value()))).status]).toEqual([each, 200])
    noSecrets(server.logged)
  })

  test('curl with the secret in the URL, in a header file and in a netrc', async () => {
    const server = await start({
      listen: tlsFiles(),
      access: { mode: 'restricted', secret: SECRET },
    })
    writeFileSync(path('header'), `Authorization: Bearer ${SECRET}\n`)
    writeFileSync(path('netrc'), `machine 127.0.0.1 login worker password ${SECRET}\n`)
    const url = `${server.url}/cgi-bin/get_proxy`
    for (const words of [
      [url.replace('https://', `https://${SECRET}@`)],
      ['--header', `@${path('header')}`, url],
      ['--netrc-file', path('netrc'), url],
    ]) {
      const { stdout } = await run('curl', ['-sf', '--cacert', path('server.pem'), ...words])
      expect(stdout).toBe(proxy.pem.toString())
    }
  })

  test('it holds in every mode', async () => {
    for (const mode of ['local', 'anyone_who_reaches_the_port']) {
      const server = await start({ access: { mode, secret: SECRET } })
      expect((await server.ask('/get_proxy')).status).toBe(401)
      const headers = { Authorization: `Bearer ${SECRET}` }
      expect((await server.ask('/get_proxy', { headers })).status).toBe(200)
    }
  })

  test('refusals are counted, and logged with a bound', async () => {
    let now = new Date()
    const server = await start(
      { listen: tlsFiles(), access: { mode: 'restricted', secret: SECRET } },
      { now: () => now },
    )
    const wrong = { headers: { Authorization: 'Bearer wrong-and-long-enough' }, tls: trusted() }
    for (let time = 0; time < 30; time += 1) await server.ask('/get_proxy', wrong)
    await server.ask('/get_proxy', { tls: trusted() })
    const { text } = await server.ask('/metrics', { tls: trusted() })
    expect(text).toContain('certcache_refused_total{reason="secret_wrong"} 30')
    expect(text).toContain('certcache_refused_total{reason="secret_missing"} 1')
    expect(text).toContain('certcache_http_requests_total{path="/get_proxy",status="401"} 31')
    const lines = () => server.logged.filter((line) => line.includes('request.refused'))
    expect(lines()).toHaveLength(20)
    expect(JSON.parse(lines()[0] ?? '')).toMatchObject({
      reason: 'secret_wrong',
      path: '/get_proxy',
      address: '127.0.0.1',
    })
    now = new Date(now.getTime() + 60_000)
    await server.ask('/get_proxy', wrong)
    expect(JSON.parse(lines()[20] ?? '')).toMatchObject({ unlogged: 11 })
    expect(server.logged.join('')).not.toContain('wrong-and-long-enough')
  })
})

describe('restricted by client certificates', () => {
  const settings = (more: object = {}) => ({
    listen: tlsFiles(),
    access: { mode: 'restricted', client_ca_file: path('clients.pem'), ...more },
  })
  const as = (name?: string) => ({
    tls: {
      ...trusted(),
      ...(name === undefined ? {} : { cert: read(`${name}.pem`), key: read(`${name}.key`) }),
    },
  })
  test.for([
    { client: 'client', status: 200 },
    { client: 'stranger', status: 403 },
    { client: undefined, status: 403 },
  ])('$client: $status', async ({ client, status }) => {
    const server = await start(settings())
    expect((await server.ask('/get_proxy', as(client))).status).toBe(status)
    expect((await server.ask('/status', as(client))).status).toBe(status)
    expect((await server.ask('/health', as(client))).status).toBe(200)
    if (status === 403)
      expect((await server.ask('/get_proxy', as(client))).text).toContain('client certificate')
  })

  test.for([
    { client: 'client', secret: false, status: 200 },
    { client: 'client', secret: true, status: 200 },
    { client: 'stranger', secret: true, status: 200 },
    { client: undefined, secret: true, status: 200 },
    { client: 'stranger', secret: false, status: 401 },
    { client: undefined, secret: false, status: 401 },
  ])('or a secret: $client, $secret: $status', async ({ client, secret, status }) => {
    const server = await start(settings({ secret: SECRET }))
    const headers: Record<string, string> = secret ? { Authorization: `Bearer ${SECRET}` } : {}
    expect((await server.ask('/get_proxy', { ...as(client), headers })).status).toBe(status)
  })
})

describe('an allow-list', () => {
  const rules = (allow: readonly string[]) => {
    const { access } = serverSettings({ access: { allow } })
    return createAccessRules({ ...access, mode: 'anyone_who_reaches_the_port' }, false)
  }
  const from = (remoteAddress: string | undefined) =>
    ({ headers: {}, socket: { remoteAddress } }) as unknown as Parameters<
      ReturnType<typeof rules>['refuseOrigin']
    >[0]
  test.for([
    { allow: ['10.0.0.0/8'], address: '10.1.2.3', lets: true },
    { allow: ['10.0.0.0/8'], address: '11.1.2.3', lets: false },
    { allow: ['10.0.0.0/8'], address: '::ffff:10.1.2.3', lets: true },
    { allow: ['10.0.0.0/8'], address: '::ffff:11.1.2.3', lets: false },
    { allow: ['10.0.0.0/8'], address: '::ffff:a01:203', lets: true },
    { allow: ['10.0.0.0/8', '2001:db8::/32'], address: '2001:db8:1::7', lets: true },
    { allow: ['2001:db8::/32'], address: '2001:db9::7', lets: false },
    { allow: ['192.0.2.7'], address: '192.0.2.7', lets: true },
    { allow: ['192.0.2.7'], address: '192.0.2.70', lets: false },
    { allow: ['2001:db8::7'], address: '2001:db8::7', lets: true },
    { allow: ['loopback'], address: '127.3.3.3', lets: true },
    { allow: ['loopback'], address: '::1', lets: true },
    { allow: ['loopback'], address: '10.0.0.1', lets: false },
    { allow: ['uniquelocal'], address: '192.168.1.1', lets: true },
    { allow: ['linklocal'], address: 'fe80::1', lets: true },
    { allow: ['10.0.0.0/8'], address: undefined, lets: false },
    { allow: ['10.0.0.0/8'], address: 'rubbish', lets: false },
  ])('$allow, $address: $lets', ({ allow, address, lets }) => {
    expect(rules(allow).refuseOrigin(from(address))).toEqual(
      lets ? undefined : expect.objectContaining({ status: 403, reason: 'address_not_allowed' }),
    )
  })

  test('alone it is enough, and it holds for every path', async () => {
    const access = { mode: 'restricted', allow: ['127.0.0.2'] }
    const server = await start({ listen: tlsFiles(), access })
    for (const each of ['/get_proxy', '/status', '/health', '/metrics', '/other']) {
      const inside = await server.ask(each, { tls: trusted(), localAddress: '127.0.0.2' })
      expect([each, inside.status]).toEqual([each, each === '/other' ? 404 : 200])
      const outside = await server.ask(each, {
        tls: trusted(),
        // What anybody can write.
        headers: { 'X-Forwarded-For': '127.0.0.2', Forwarded: 'for=127.0.0.2' },
      })
      expect([each, outside.status]).toEqual([each, 403])
      expect(outside.text).toContain('access.allow')
    }
  })

  test.for([
    { localAddress: '127.0.0.2', secret: true, status: 200 },
    { localAddress: '127.0.0.2', secret: false, status: 401 },
    { localAddress: '127.0.0.1', secret: true, status: 403 },
  ])('with a secret both must hold: $localAddress, $secret: $status', async (given) => {
    const access = { mode: 'restricted', allow: ['127.0.0.2'], secret: SECRET }
    const server = await start({ listen: tlsFiles(), access })
    const headers: Record<string, string> = given.secret
      ? { Authorization: `Bearer ${SECRET}` }
      : {}
    const { localAddress } = given
    const told = await server.ask('/get_proxy', { tls: trusted(), localAddress, headers })
    expect(told.status).toBe(given.status)
  })
})

describe('TLS', () => {
  test('plain HTTP to the TLS port gets nothing', async () => {
    const server = await start({
      listen: tlsFiles(),
      access: { mode: 'restricted', secret: SECRET },
    })
    const plain = ask(server.url.replace('https:', 'http:'), '/get_proxy', {
      headers: { Authorization: `Bearer ${SECRET}` },
    })
    await expect(plain).rejects.toThrow()
  })

  test('files that do not fit stop the start', async () => {
    const listen = { tls_certificate_file: path('server.pem'), tls_key_file: path('clients.key') }
    await expect(
      testServer(standInEngine(), { settings: serverSettings({ listen, access: {} }) }),
    ).rejects.toMatchObject({ code: 'configuration' })
  })

  test.for([
    { name: 'client.key', says: 'contains no CA certificate in PEM' },
    { name: 'garbage.pem', says: 'contains a certificate that cannot be parsed' },
    { name: 'missing.pem', says: 'cannot be read: the file or its directory does not exist' },
  ])('CAs of clients in $name stop the start: it $says', async ({ name, says }) => {
    // The first certificate is good; every one must be.
    const garbage = read('clients.pem').replace(/\n[^-\n]{20}/g, `\n${'A'.repeat(20)}`)
    writeFileSync(path('garbage.pem'), `${read('clients.pem')}${garbage}`)
    const access = { mode: 'restricted', client_ca_file: path(name) }
    await expect(
      testServer(standInEngine(), { settings: serverSettings({ listen: tlsFiles(), access }) }),
    ).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringContaining(`${path(name)} ${says}`) as string,
      remedy: expect.any(String) as string,
    })
  })

  test('replaced files are read by themselves', async () => {
    writeFileSync(path('now.pem'), read('server.pem'))
    writeFileSync(path('now.key'), read('server.key'))
    const listen = { tls_certificate_file: path('now.pem'), tls_key_file: path('now.key') }
    const server = await start(
      { listen, access: { mode: 'restricted', secret: SECRET } },
      { tlsPollMs: 20 },
    )
    const health = async (authority: string) =>
      ask(server.url, '/health', { tls: { ca: read(authority) } }).then(
        ({ status }) => status,
        () => 'not trusted',
      )
    expect(await health('server.pem')).toBe(200)
    writeFileSync(path('now.pem'), read('clients.pem'))
    await expect.poll(() => server.logged.join('')).toContain('tls.reload-failed')
    expect(await health('server.pem')).toBe(200)
    writeFileSync(path('now.key'), read('clients.key'))
    await expect.poll(async () => health('clients.pem'), { timeout: 5000 }).toBe(200)
    noSecrets(server.logged)
  })
})

describe('reload', () => {
  const restricted = (access: object, listen: object = tlsFiles()) =>
    serverSettings({ listen, access: { mode: 'restricted', ...access } })
  const asks = async (server: TestServer, secret: string) =>
    (
      await server.ask('/get_proxy', {
        tls: trusted(),
        headers: { Authorization: `Bearer ${secret}` },
      })
    ).status

  test('takes another secret and other client CAs', async () => {
    const server = await start({
      listen: tlsFiles(),
      access: { mode: 'restricted', secret: SECRET, client_ca_file: path('clients.pem') },
    })
    const stranger = { ...trusted(), cert: read('stranger.pem'), key: read('stranger.key') }
    expect((await server.ask('/get_proxy', { tls: stranger })).status).toBe(401)
    const other = SECRET.replace('made', 'next')
    expect(
      server.reload(restricted({ secret: other, client_ca_file: path('strangers.pem') })),
    ).toEqual([])
    expect(await asks(server, SECRET)).toBe(401)
    expect(await asks(server, other)).toBe(200)
    expect((await server.ask('/get_proxy', { tls: stranger })).status).toBe(200)
  })

  test.for([
    { access: { mode: 'anyone_who_reaches_the_port' }, keys: ['access.mode'] },
    { access: { mode: 'local' }, keys: ['access.mode'] },
    { access: { secret: SECRET, client_ca_file: 'x' }, keys: ['access.client_ca_file'] },
    { access: { secret: SECRET }, listen: { port: 9 }, keys: ['listen.port'] },
    { access: { secret: SECRET }, listen: { host: '::1' }, keys: ['listen.host'] },
  ])('$access $listen waits for a restart', async ({ access, listen, keys }) => {
    const server = await start({
      listen: tlsFiles(),
      access: { mode: 'restricted', secret: SECRET },
    })
    expect(server.reload(restricted(access, { ...tlsFiles(), ...listen }))).toEqual(keys)
    expect(await asks(server, SECRET)).toBe(200)
    expect((await server.ask('/get_proxy', { tls: trusted() })).status).toBe(401)
  })

  test('what cannot be used changes nothing', async () => {
    const server = await start({
      listen: tlsFiles(),
      access: { mode: 'restricted', secret: SECRET },
    })
    const broken = { tls_certificate_file: path('none.pem'), tls_key_file: path('server.key') }
    const other = SECRET.replace('made', 'next')
    expect(() => server.reload(restricted({ secret: other }, broken))).toThrow('none.pem')
    expect(() => server.reload(restricted({ secret: other, allow: ['::/0'] }))).toThrow(
      'every address',
    )
    expect(await asks(server, SECRET)).toBe(200)
    expect(await asks(server, other)).toBe(401)
  })
})

describe('anyone_who_reaches_the_port', () => {
  test('is what the old cache did, and says so', async () => {
    const access = { mode: 'anyone_who_reaches_the_port' }
    const server = await start({ listen: { host: '0.0.0.0' }, access })
    const url = `http://127.0.0.1:${new URL(server.url).port}`
    const told = await ask(url, '/cgi-bin/get_proxy', { headers: { Host: 'cache.example.org' } })
    expect({ status: told.status, whole: told.body.equals(proxy.pem) }).toEqual({
      status: 200,
      whole: true,
    })
    const warnings = server.logged.filter((line) => line.includes('access.open'))
    expect(warnings).toHaveLength(1)
    expect(JSON.parse(warnings[0] ?? '')).toMatchObject({ level: 'warn' })
    const report = JSON.parse((await ask(url, '/status')).text) as { access: object }
    expect(report.access).toEqual({
      mode: 'anyone_who_reaches_the_port',
      warning: expect.stringContaining('Anyone who can reach this port') as string,
    })
  })
})

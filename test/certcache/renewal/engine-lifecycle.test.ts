import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { parseProxyFile } from '../../../ca/proxy-file.ts'
import { openState } from '../../../src/certcache/state/open-state.ts'
import { encodeState, readState } from '../../../src/certcache/state/state-records.ts'
import { delegating, logIn } from '../../api/delegation-support.ts'
import { ask, type PostgresCluster, startPostgres } from '../../support/postgres.ts'
import {
  AUDIENCE,
  type TestService,
  startTestService,
  useTestService,
} from '../../support/service.ts'
import {
  eventually,
  realClock,
  settingsIn,
  startEngine,
  temporaryDirectory,
  uid,
} from '../engine-support.ts'

const service = useTestService(delegating())
const soon = (): AbortSignal => AbortSignal.timeout(10_000)
const due = { name: undefined, validForSeconds: undefined }
/** Longer than any proxy lives: it is renewed whatever there is. */
const always = { name: undefined, validForSeconds: 400 * 24 * 3600 }

afterEach(() => {
  const { provider } = service()
  provider.faults.clear()
  provider.faults.resetCounts()
  Object.assign(provider.user('alice'), { suspended: false, aupSigned: true, deleted: false })
})

const ownClient = () => ({
  issuer: service().provider.issuer,
  client_id: service().provider.clients.certcache.clientId,
  client_secret: service().provider.clients.certcache.clientSecret,
  audience: AUDIENCE,
})
const toService = () => ({ url: service().url })
const shortLife = { gwms_proxy: { key_type: 'ec-p256', lifetime_seconds: 3600 } }

describe('auto', () => {
  test('with a token alone is a delegation', async () => {
    const source = { token: await logIn(service()) }
    const { engine } = await startEngine(
      await settingsIn(await temporaryDirectory(), { service: toService(), source }),
    )
    await engine.obtain(undefined, soon())
    expect(engine.status().source).toMatchObject({
      kind: 'delegation',
      delegationId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      ended: undefined,
    })
  })

  test('with a client of our own refreshes by itself', async () => {
    const source = { ...ownClient(), token: await logIn(service()) }
    const { engine } = await startEngine(
      await settingsIn(await temporaryDirectory(), { service: toService(), source }),
    )
    await engine.obtain(undefined, soon())
    expect(engine.status().source).toMatchObject({ kind: 'refresh', ended: undefined })
  })

  test('where the service makes no delegations lives on the token, and says so', async () => {
    const plain = await startTestService()
    try {
      const directory = await temporaryDirectory()
      const token = join(directory, 'token')
      await writeFile(token, plain.token(), { mode: 0o600 })
      const settings = await settingsIn(directory, {
        service: { url: plain.url },
        source: { token_file: 'token' },
      })
      const { engine } = await startEngine(settings)
      await engine.obtain(undefined, soon())
      const { source } = engine.status()
      expect(source).toMatchObject({
        kind: 'token',
        ended: undefined,
        advice: expect.stringMatching(/ends with the token in .* does not offer delegations/),
      })
      expect(source.renewsUntil?.getTime()).toBeGreaterThan(Date.now() + 3_000_000)
    } finally {
      await plain.stop()
    }
  })

  test('a token that no delegation can be made of still brings a first proxy', async () => {
    // Minted, so that the provider does not know it: its exchange is refused for good, and with it the fallback.
    const refused = await startEngine(
      await settingsIn(await temporaryDirectory(), {
        service: toService(),
        source: { token: service().token() },
      }),
    )
    await expect(refused.engine.obtain(undefined, soon())).rejects.toMatchObject({
      code: 'grant_refused',
      check: 'subject_token_refused',
    })
    // A client to whom the grant was not given: the token itself is good.
    const { worker } = service().provider.clients
    const source = {
      ...ownClient(),
      client_id: worker.clientId,
      client_secret: worker.clientSecret,
      token: await logIn(service()),
    }
    const { engine, logged } = await startEngine(
      await settingsIn(await temporaryDirectory(), { service: toService(), source }),
    )
    await engine.obtain(undefined, soon())
    expect(engine.status().source).toMatchObject({
      kind: 'token',
      withoutRenewal: expect.stringContaining('does not allow this kind of grant'),
    })
    expect(logged.join()).toMatch(
      /"expires_at":"20.*source\.fallback|source\.fallback.*"expires_at":"20/,
    )
  })

  test('with nothing at all says what is wanted', async () => {
    const { engine } = await startEngine(
      await settingsIn(await temporaryDirectory(), { service: toService(), source: {} }),
      { environment: { BEARER_TOKEN_FILE: '/nonexistent/token' } },
    )
    await expect(engine.obtain(undefined, soon())).rejects.toMatchObject({
      code: 'missing_token',
      remedy: expect.stringContaining('certcache login'),
    })
    expect(engine.status().source).toMatchObject({ kind: 'none' })
  })
})

describe('the end, and after', () => {
  test('a revoked delegation ends; the same token does not begin anew, another one does', async () => {
    const directory = await temporaryDirectory()
    const path = join(directory, 'token')
    await writeFile(path, await logIn(service()), { mode: 0o600 })
    const sections = {
      service: toService(),
      source: { token_file: 'token' },
      proxies: shortLife,
      // Without jitter and with a quick second attempt.
      renewal: { renew_below: 0.95, jitter: 0 },
    }
    const first = await startEngine(await settingsIn(directory, sections), { background: false })
    await first.engine.renewIfDue(due, soon())
    const { delegationId } = first.engine.status().source
    const token = await logIn(service())
    const url = `${service().url}/v1/delegations/${delegationId}`
    const revoked = await fetch(url, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${token}` },
    })
    expect(revoked.ok).toBe(true)
    await expect(first.engine.renewIfDue(always, soon())).rejects.toMatchObject({
      code: 'delegation_ended',
      remedy: expect.stringContaining('new access token'),
    })
    const { source } = first.engine.status()
    expect(source).toMatchObject({ kind: 'delegation', ended: expect.any(String) })
    expect(source.advice).toMatch(/^Renewal ended at .*Supply a new access token/)
    // The old proxy is served on, and after a restart too, with nobody asked.
    expect(first.engine.current()).toBeDefined()
    await first.engine.close()
    service().provider.faults.resetCounts()
    const again = await startEngine(await settingsIn(directory, sections))
    expect(again.engine.current()).toBeDefined()
    expect(again.engine.status().source.ended).toBeDefined()
    // The file changes: it is noticed with nobody doing anything.
    await writeFile(path, token)
    const due2 = { ...always }
    await again.engine.close()
    const third = await startEngine(await settingsIn(directory, sections), { background: false })
    expect(await third.engine.renewIfDue(due2, soon())).toMatchObject({ renewed: true })
    expect(third.engine.status().source).toMatchObject({ ended: undefined })
    expect(third.engine.status().source.delegationId).not.toBe(delegationId)
  })

  test('a dead refresh token ends; a token put into its file revives a running certcache', async () => {
    const directory = await temporaryDirectory()
    const path = join(directory, 'token')
    await writeFile(path, await logIn(service()), { mode: 0o600 })
    const sections = {
      service: toService(),
      source: { ...ownClient(), token_file: 'token' },
      proxies: { gwms_proxy: { key_type: 'ec-p256', lifetime_seconds: 60 } },
      // Nothing but the new token can make it try again before the test ends.
      renewal: { retry_first_seconds: 3600, retry_longest_seconds: 3600, renew_below: 0.95 },
    }
    // The clock runs ahead by hand: the access token is of no use any more, and the proxy is due.
    let ahead = 0
    const clock = { ...realClock, now: () => new Date(Date.now() + ahead) }
    const { engine } = await startEngine(await settingsIn(directory, sections), { clock })
    await engine.obtain(undefined, soon())
    service().provider.user('alice').deleted = true
    ahead = 3_590_000
    const failed = await eventually(() => engine.status().source.ended)
    expect(failed).toMatch(/renewal is over/)
    expect(engine.current()).toBeUndefined()
    await expect(engine.obtain(undefined, soon())).rejects.toMatchObject({
      code: 'delegation_ended',
      retryAfterSeconds: expect.any(Number),
    })
    const asked = service().provider.faults.count('/token')
    await delay(200)
    expect(service().provider.faults.count('/token')).toBe(asked)
    service().provider.user('alice').deleted = false
    ahead = 0
    const [unlucky, lucky] = [await logIn(service()), await logIn(service())]
    // Each token is one more chance, not one at every look.
    service().provider.faults.set('/token', { kind: 'status', status: 503 })
    service().provider.faults.resetCounts()
    await writeFile(path, unlucky)
    await eventually(() => service().provider.faults.count('/token') > 0)
    await delay(200)
    expect(service().provider.faults.count('/token')).toBe(1)
    service().provider.faults.clear()
    await writeFile(path, lucky)
    await eventually(() => engine.status().source.ended === undefined)
    expect(await engine.obtain(undefined, soon())).toBeDefined()
  })
})

describe('login', () => {
  test('what a login left is taken by a running certcache, once', async () => {
    const directory = await temporaryDirectory()
    const sections = { service: toService(), source: ownClient() }
    const settings = await settingsIn(directory, sections)
    const { engine } = await startEngine(settings)
    await expect(engine.obtain(undefined, soon())).rejects.toMatchObject({ code: 'missing_token' })
    // A refresh token of this client, got by exchange as by any other way.
    const { clientId, clientSecret } = service().provider.clients.certcache
    const response = await fetch(`${service().provider.issuer}token`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`,
      },
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: await logIn(service()),
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        scope: 'openid profile offline_access',
        audience: AUDIENCE,
      }),
    })
    const granted = (await response.json()) as { refresh_token: string }
    const store = await openState(settings.state, uid)
    const login = {
      id: 'login-1',
      issuer: service().provider.issuer,
      client_id: clientId,
      refresh_token: granted.refresh_token,
      granted_at: new Date(),
    }
    await store.deposit(encodeState('incoming', login))
    const proxy = await eventually(() => engine.current())
    expect(engine.status().source).toMatchObject({ kind: 'refresh', ended: undefined })
    expect(await store.version('incoming')).toBeUndefined()
    // A crash before it was taken away: the token has been rotated since, and is not taken again.
    await store.deposit(encodeState('incoming', login))
    await eventually(async () => (await store.version('incoming')) === undefined)
    expect(engine.status().source).toMatchObject({ kind: 'refresh', ended: undefined })
    await engine.close()
    const again = await startEngine(settings, { background: false })
    expect(await again.engine.renewIfDue(always, soon())).toMatchObject({ renewed: true })
    expect(proxy.pem).not.toEqual(again.engine.current()?.pem)
    await store.close()
  })
})

describe('refresh, one shot', () => {
  test('does nothing while the proxy is good, restores its file, and renews on demand', async () => {
    const directory = await temporaryDirectory()
    const settings = await settingsIn(directory, {
      service: toService(),
      source: { token: await logIn(service()) },
    })
    const { engine } = await startEngine(settings, { background: false })
    const first = await engine.renewIfDue(due, soon())
    expect(first.renewed).toBe(true)
    const path = join(directory, 'state/gwms_proxy')
    await rm(path)
    expect(await engine.renewIfDue(due, soon())).toMatchObject({ renewed: false })
    expect(await readFile(path)).toEqual(first.proxy.pem)
    const good = { name: undefined, validForSeconds: 90 * 3600 }
    expect((await engine.renewIfDue(good, soon())).renewed).toBe(false)
    expect((await engine.renewIfDue(always, soon())).renewed).toBe(true)
    await expect(engine.renewIfDue({ ...due, name: 'other' }, soon())).rejects.toMatchObject({
      code: 'not_found',
    })
  })

  test('many that ask one certcache at once get one renewal', async () => {
    const settings = await settingsIn(await temporaryDirectory(), {
      service: toService(),
      source: { token: await logIn(service()) },
    })
    const { engine } = await startEngine(settings, { background: false })
    const asked = Array.from({ length: 10 }, async () => engine.renewIfDue(always, soon()))
    const proxies = (await Promise.all(asked)).map(({ proxy }) => proxy)
    expect(new Set(proxies).size).toBe(1)
    expect(engine.status().proxies[0]?.attempts).toEqual({ succeeded: 1, failed: 0 })
  })

  test('two at once are one renewal', async () => {
    const directory = await temporaryDirectory()
    const source = { kind: 'delegation', token: await logIn(service()) }
    const settings = await settingsIn(directory, { service: toService(), source })
    service().provider.faults.resetCounts()
    const results = await Promise.all(
      [1, 2, 3].map(async () => {
        const { engine } = await startEngine(settings, { background: false })
        const result = await engine.renewIfDue(due, soon())
        await engine.close()
        return result
      }),
    )
    expect(
      results.filter(({ renewed, hasOtherRenewer }) => renewed && !hasOtherRenewer),
    ).toHaveLength(1)
    expect(new Set(results.map(({ proxy }) => proxy.pem.toString())).size).toBe(1)
    expect(service().provider.faults.count('/token')).toBe(2)
  })

  test('beside one that holds the lock and has nothing gives up when told to', async () => {
    const directory = await temporaryDirectory()
    const settings = await settingsIn(directory, { service: toService(), source: {} })
    const store = await openState(settings.state, uid)
    const lock = await store.tryLock('renewer')
    const { engine } = await startEngine(settings, { background: false })
    await expect(engine.renewIfDue(due, AbortSignal.timeout(50))).rejects.toMatchObject({
      code: 'overloaded',
      check: 'lock_elsewhere',
    })
    await lock?.release()
  })
})

describe('failures', () => {
  test('while the service is down callers are told when to come again; then it goes on', async () => {
    const directory = await temporaryDirectory()
    const own: TestService = await startTestService(delegating())
    const url = own.url
    const token = await logIn(own)
    await own.running.stop()
    const settings = await settingsIn(directory, { service: { url }, source: { token } })
    const { engine } = await startEngine(settings)
    await expect(engine.obtain(undefined, soon())).rejects.toMatchObject({
      code: 'provider_unavailable',
    })
    const status = await eventually(() => {
      const [found] = engine.status().proxies
      return found && found.attempts.failed >= 3 ? found : undefined
    })
    expect(status).toMatchObject({
      proxy: undefined,
      lastError: {
        code: 'provider_unavailable',
        remedy: expect.stringContaining('service.url'),
      },
      attempts: { succeeded: 0 },
    })
    await own.stop().catch(() => undefined)
  })

  test('files that cannot be written: served from memory, told, and written once that works', async () => {
    const directory = await temporaryDirectory()
    const good = join(directory, 'good')
    const blocked = join(directory, 'blocked')
    await mkdir(blocked)
    let ahead = 0
    const clock = { ...realClock, now: () => new Date(Date.now() + ahead) }
    const settings = await settingsIn(directory, {
      service: toService(),
      source: { token: await logIn(service()) },
      proxies: {
        gwms_proxy: { key_type: 'ec-p256', outputs: [{ path: blocked }, { path: good }] },
      },
    })
    const { engine } = await startEngine(settings, { clock })
    const proxy = await engine.obtain(undefined, soon())
    const error = await eventually(() => engine.status().proxies[0]?.lastError)
    expect(error).toMatchObject({
      code: 'configuration',
      message: `${blocked} is not a plain file; it is not replaced`,
    })
    expect(engine.status().proxies[0]?.attempts).toEqual({ succeeded: 1, failed: 0 })
    expect(await readFile(good)).toEqual(proxy.pem)
    expect(engine.current()).toBe(proxy)
    await rm(blocked, { recursive: true })
    ahead = 61_000
    await eventually(() => engine.status().proxies[0]?.lastError === undefined)
    expect(await readFile(blocked)).toEqual(proxy.pem)
  })

  test('a refresh tells that its file cannot be written', async () => {
    const directory = await temporaryDirectory()
    await mkdir(join(directory, 'blocked'))
    const settings = await settingsIn(directory, {
      service: toService(),
      source: { token: await logIn(service()) },
      proxies: { gwms_proxy: { key_type: 'ec-p256', outputs: [{ path: 'blocked' }] } },
    })
    const { engine } = await startEngine(settings, { background: false })
    await expect(engine.renewIfDue(due, soon())).rejects.toMatchObject({ code: 'configuration' })
    expect(engine.current()).toBeDefined()
  })

  test('a state that others can read stops the start; a lost one is made up for by the file', async () => {
    const directory = await temporaryDirectory()
    const sections = {
      service: toService(),
      source: { token: await logIn(service()) },
      proxies: { gwms_proxy: { key_type: 'ec-p256', outputs: [{ path: 'gwms_proxy' }] } },
    }
    const settings = await settingsIn(directory, sections)
    const first = await startEngine(settings, { background: false })
    const { proxy } = await first.engine.renewIfDue(due, soon())
    await first.engine.close()
    const record = join(settings.state.directory, 'default.proxies.sealed')
    await chmod(record, 0o644)
    await expect(startEngine(settings)).rejects.toMatchObject({
      code: 'configuration',
      check: 'file_mode',
      remedy: `Run chmod 600 '${record}'.`,
    })
    await rm(settings.state.directory, { recursive: true })
    const again = await startEngine(settings, { background: false })
    expect(again.engine.current()?.pem).toEqual(proxy.pem)
  })

  test('a state that is older than the file is written again', async () => {
    const directory = await temporaryDirectory()
    const source = { token: await logIn(service()) }
    const proxies = (outputs: unknown) => ({ gwms_proxy: { key_type: 'ec-p256', outputs } })
    const sections = { service: toService(), source, proxies: proxies([{ path: 'gwms_proxy' }]) }
    const settings = await settingsIn(directory, sections)
    const record = join(settings.state.directory, 'default.proxies.sealed')
    const first = await startEngine(settings, { background: false })
    await first.engine.renewIfDue(due, soon())
    const old = await readFile(record)
    const { proxy } = await first.engine.renewIfDue(always, soon())
    await first.engine.close()
    await writeFile(record, old)

    const second = await startEngine(settings, { background: false })
    await second.engine.renewIfDue(due, soon())
    await second.engine.close()
    const withoutFile = await settingsIn(directory, { ...sections, proxies: proxies([]) })
    const third = await startEngine(withoutFile, { background: false })
    expect(third.engine.current()?.pem).toEqual(proxy.pem)
  })
})

describe('hooks', () => {
  test('run after a renewal, with the file in place, and not again after a restart', async () => {
    const directory = await temporaryDirectory()
    const out = join(directory, 'hooked')
    const settings = await settingsIn(directory, {
      service: toService(),
      source: { token: await logIn(service()) },
      proxies: {
        gwms_proxy: {
          key_type: 'ec-p256',
          hook: ['sh', '-c', `head -1 "$CERTCACHE_PROXY_FILE" >> '${out}'`],
        },
      },
    })
    const environment = { PATH: '/usr/bin:/bin' }
    const { engine } = await startEngine(settings, { environment })
    await engine.obtain(undefined, soon())
    await engine.close()
    expect(await readFile(out, 'utf8')).toBe('-----BEGIN CERTIFICATE-----\n')
    const again = await startEngine(settings, { environment })
    await delay(100)
    await again.engine.close()
    expect(await readFile(out, 'utf8')).toBe('-----BEGIN CERTIFICATE-----\n')
  })
})

describe('new settings while running', () => {
  test('a proxy that still fits stays; another kind is renewed; a new name is obtained', async () => {
    const directory = await temporaryDirectory()
    const source = { token: await logIn(service()) }
    const sections = (proxies: Record<string, unknown>) => ({
      service: toService(),
      source,
      proxies,
    })
    const ec = { key_type: 'ec-p256' }
    const { engine } = await startEngine(
      await settingsIn(directory, sections({ a: ec, b: ec, c: ec })),
    )
    const before = new Map<string, unknown>()
    for (const name of ['a', 'b', 'c']) before.set(name, (await engine.obtain(name, soon())).pem)
    await engine.reload(
      await settingsIn(
        directory,
        sections({
          a: ec,
          b: { ...ec, type: 'limited' },
          c: { ...ec, lifetime_seconds: 7200 },
          d: ec,
        }),
      ),
    )
    expect(engine.names).toEqual(['a', 'b', 'c', 'd'])
    expect(engine.current('a')?.pem).toEqual(before.get('a'))
    expect((await engine.obtain('b', soon())).pem).not.toEqual(before.get('b'))
    expect((await engine.obtain('d', soon())).name).toBe('d')
    // Served until its successor with the new lifetime is there.
    expect(engine.current('c')).toBeDefined()
    await eventually(() => engine.current('c')?.pem.equals(before.get('c') as Buffer) === false)
    const left = (engine.current('c')?.notAfter.getTime() ?? 0) - Date.now()
    expect(left).toBeLessThanOrEqual(7_200_000)
  })

  test('closing tells who waits', async () => {
    const settings = await settingsIn(await temporaryDirectory(), {
      service: toService(),
      source: { token: await logIn(service()) },
    })
    const { engine } = await startEngine(settings)
    service().provider.faults.set('/token', { kind: 'slow', delayMs: 300 })
    const waiting = engine.obtain(undefined, soon())
    const told = expect(waiting).rejects.toMatchObject({ code: expect.stringMatching(/./) })
    await engine.close()
    await told
    await expect(engine.obtain(undefined, soon())).rejects.toMatchObject({ code: 'shutting_down' })
  })
})

test('another key format renews the proxy; a state without the setting fits the default', async () => {
  const directory = await temporaryDirectory()
  const source = { token: await logIn(service()) }
  const withFormat = (format: object) =>
    settingsIn(directory, {
      service: toService(),
      source,
      proxies: { rsa: { key_type: 'rsa-2048', ...format } },
    })
  const labelOf = (pem: Buffer | undefined) => parseProxyFile(String(pem)).labels[1]
  const settings = await withFormat({})
  const { engine } = await startEngine(settings)
  const { pem } = await engine.obtain('rsa', soon())
  expect(labelOf(pem)).toBe('RSA PRIVATE KEY')
  const store = await openState(settings.state, uid)
  const asked = await eventually(
    async () => (await readState(store, 'proxies'))?.proxies['rsa']?.asked,
  )
  await store.close()
  expect(asked).toBe('["proxy","impersonation",null,null,"rsa-2048"]')
  await engine.reload(await withFormat({ key_format: 'pkcs1' }))
  expect(engine.current('rsa')?.pem).toEqual(pem)
  await engine.reload(await withFormat({ key_format: 'pkcs8' }))
  await eventually(() => engine.current('rsa')?.pem.equals(pem) === false)
  expect(labelOf(engine.current('rsa')?.pem)).toBe('PRIVATE KEY')
})

describe('several certcaches', () => {
  let postgres: PostgresCluster
  beforeAll(async () => {
    postgres = await startPostgres()
  }, 60_000)
  afterAll(async () => postgres.stop())

  async function cluster(kind: 'files' | 'PostgreSQL') {
    const directory = await temporaryDirectory()
    const source = { ...ownClient(), token: await logIn(service()) }
    if (kind === 'files') return { directory, source, state: {} }
    const key = join(directory, 'key')
    await writeFile(key, randomBytes(32).toString('base64'), { mode: 0o600 })
    return { directory, source, state: { url: await postgres.createDatabase(), key_file: 'key' } }
  }

  describe.for(['files', 'PostgreSQL'] as const)('in %s', (kind) => {
    test('one renews, all serve, and another takes over', async () => {
      const { directory, source, state } = await cluster(kind)
      const member = async (name: string) => {
        const outputs = [{ path: join(directory, name) }]
        return settingsIn(directory, {
          service: toService(),
          source,
          state,
          proxies: { gwms_proxy: { key_type: 'ec-p256', outputs } },
        })
      }
      service().provider.faults.resetCounts()
      const members = [
        await startEngine(await member('one')),
        await startEngine(await member('two')),
        await startEngine(await member('three')),
      ]
      const proxies = await Promise.all(
        members.map(async ({ engine }) => engine.obtain(undefined, soon())),
      )
      expect(new Set(proxies.map(({ pem }) => pem.toString())).size).toBe(1)
      expect(service().provider.faults.count('/token')).toBe(1)
      for (const name of ['one', 'two', 'three'])
        await eventually(
          async () => (await stat(join(directory, name)).catch(() => undefined))?.size,
        )
      const leader = members.findIndex(({ logged }) => logged.join().includes('lock.taken'))
      await members[leader]?.engine.close()
      const others = members.filter((_, index) => index !== leader)
      await eventually(() => others.some(({ logged }) => logged.join().includes('lock.taken')))
      const taken = others.filter(({ logged }) => logged.join().includes('lock.taken'))
      expect(taken).toHaveLength(1)
      const { renewed, proxy } = (await taken[0]?.engine.renewIfDue(always, soon())) ?? {}
      expect(renewed).toBe(true)
      for (const { engine } of others)
        await eventually(() => engine.current()?.pem.equals(proxy?.pem ?? Buffer.alloc(0)))
      // The access token of the first one lives: the provider was not asked again.
      expect(service().provider.faults.count('/token')).toBe(1)
    })
  })

  test('a database that goes away: served on, told, and taken up again', async () => {
    const { directory, source, state } = await cluster('PostgreSQL')
    const outputs = [{ path: join(directory, 'gwms_proxy') }]
    const proxies = { gwms_proxy: { key_type: 'ec-p256', outputs } }
    const settings = await settingsIn(directory, { service: toService(), source, state, proxies })
    const { engine, logged } = await startEngine(settings)
    const proxy = await engine.obtain(undefined, soon())
    const url = state.url ?? ''
    await ask(
      url,
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'certcache'",
    )
    await eventually(() => logged.some((line) => line.includes('lock.lost')))
    expect(engine.current()).toBe(proxy)
    await eventually(() => logged.filter((line) => line.includes('lock.taken')).length === 2)
    await eventually(() => engine.status().proxies[0]?.lastError === undefined)
    expect(engine.current()?.pem).toEqual(proxy.pem)
  })

  test('a database that is away at the start: the file is served', async () => {
    const { directory, source, state } = await cluster('PostgreSQL')
    const sections = {
      service: toService(),
      source,
      proxies: { gwms_proxy: { key_type: 'ec-p256', outputs: [{ path: 'gwms_proxy' }] } },
    }
    const first = await startEngine(await settingsIn(directory, { ...sections, state }), {
      background: false,
    })
    const { proxy } = await first.engine.renewIfDue(due, soon())
    await first.engine.close()
    const away = { ...state, url: 'postgres://127.0.0.1:1/none' }
    const { engine } = await startEngine(await settingsIn(directory, { ...sections, state: away }))
    expect(engine.current()?.pem).toEqual(proxy.pem)
    expect(engine.status().proxies[0]?.lastError?.code).toBe('store_unavailable')
  })
})

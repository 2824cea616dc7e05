import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { parseProxyFile } from '../../../ca/proxy-file.ts'
import { describeProxy } from '../../../ca/proxy-info.ts'
import { delegating, logIn } from '../../api/delegation-support.ts'
import { AUDIENCE, useTestService } from '../../support/service.ts'
import { eventually, settingsIn, startEngine, temporaryDirectory } from '../engine-support.ts'

const service = useTestService(delegating())
const soon = (): AbortSignal => AbortSignal.timeout(10_000)

afterEach(() => {
  const { provider } = service()
  provider.faults.clear()
  provider.faults.resetCounts()
  Object.assign(provider.user('alice'), { suspended: false, aupSigned: true, deleted: false })
})

/** Our own client at the demo provider. */
const ownClient = () => ({
  issuer: service().provider.issuer,
  client_id: service().provider.clients.certcache.clientId,
  client_secret: service().provider.clients.certcache.clientSecret,
  audience: AUDIENCE,
})

describe.for(['token', 'delegation', 'refresh'] as const)('source %s', (kind) => {
  const source = async () => ({
    kind,
    token: await logIn(service()),
    ...(kind === 'refresh' ? ownClient() : {}),
  })

  test('a first proxy is had, kept and written', async () => {
    const directory = await temporaryDirectory()
    const settings = await settingsIn(directory, {
      service: { url: service().url },
      source: await source(),
    })
    const { engine } = await startEngine(settings)
    const proxy = await engine.obtain(undefined, soon())
    const file = parseProxyFile(proxy.pem.toString())
    expect(file.labels.slice(0, 3)).toEqual(['CERTIFICATE', 'PRIVATE KEY', 'CERTIFICATE'])
    const facts = describeProxy(file, { now: new Date(), path: '' })
    expect(proxy).toMatchObject({
      name: 'gwms_proxy',
      subject: facts.subject,
      identity: '/C=EU/O=INDIGO/OU=TTS/CN=9e499e0e-ce25-485b-9353-d19726fd287a@indigo-iam-test',
      notAfter: facts.notAfter,
    })
    expect(engine.current()).toBe(proxy)
    const path = join(directory, 'state/gwms_proxy')
    await eventually(async () => (await stat(path).catch(() => undefined)) !== undefined)
    expect(await readFile(path)).toEqual(proxy.pem)
    expect((await stat(path)).mode & 0o7777).toBe(0o600)
    const { proxies, source: status } = engine.status()
    expect(proxies).toMatchObject([
      { name: 'gwms_proxy', lastError: undefined, attempts: { succeeded: 1, failed: 0 } },
    ])
    expect(proxies[0]?.nextAttemptAt?.getTime()).toBeGreaterThan(Date.now() + 24 * 3_600_000)
    expect(status).toMatchObject({ kind, ended: undefined })
    expect(status.renewsUntil?.getTime()).toBeGreaterThan(Date.now())
  })

  test('a cold start with many callers and proxies is one exchange, and one translation each', async () => {
    const settings = await settingsIn(await temporaryDirectory(), {
      service: { url: service().url },
      source: await source(),
      proxies: {
        gwms_proxy: { key_type: 'ec-p256' },
        limited: { key_type: 'ec-p256', type: 'limited' },
      },
    })
    service().provider.faults.resetCounts()
    const { engine } = await startEngine(settings)
    const names = Array.from({ length: 2000 }, (_, index) => (index % 2 ? 'limited' : undefined))
    const proxies = await Promise.all(names.map(async (name) => engine.obtain(name, soon())))
    expect(new Set(proxies).size).toBe(2)
    const asked = service().provider.faults.count('/token')
    // A delegation is exchanged once, and refreshed by the service for each proxy, or once for both when they meet.
    if (kind === 'delegation') expect([2, 3]).toContain(asked)
    else expect(asked).toBe({ token: 0, refresh: 1 }[kind])
    expect(engine.status().proxies.map(({ attempts }) => attempts.succeeded)).toEqual([1, 1])
  })

  test('a restart serves what was kept, with no token and nobody asked', async () => {
    const directory = await temporaryDirectory()
    const first = { service: { url: service().url }, source: await source() }
    const before = await startEngine(await settingsIn(directory, first))
    const proxy = await before.engine.obtain(undefined, soon())
    await before.engine.close()
    service().provider.faults.resetCounts()
    const { token: _token, ...rest } = first.source
    const again = { service: { url: 'http://127.0.0.1:1' }, source: rest }
    const { engine } = await startEngine(await settingsIn(directory, again))
    expect(engine.current()?.pem).toEqual(proxy.pem)
    expect(service().provider.faults.count('/token')).toBe(0)
    expect(engine.status().proxies[0]?.attempts).toEqual({ succeeded: 0, failed: 0 })
  })

  test('a suspended account gets no further proxy', async () => {
    const settings = await settingsIn(await temporaryDirectory(), {
      service: { url: service().url },
      source: await source(),
    })
    const { engine } = await startEngine(settings, { background: false })
    const { renewed } = await engine.renewIfDue(
      { name: undefined, validForSeconds: undefined },
      soon(),
    )
    expect(renewed).toBe(true)
    service().provider.user('alice').suspended = true
    const wanted = { name: undefined, validForSeconds: 96 * 3600 + 1 }
    // A bare token, and an access token that still lives, are good until they end: nobody asks the provider about them.
    if (kind !== 'delegation') return
    await expect(engine.renewIfDue(wanted, soon())).rejects.toMatchObject({
      code: expect.stringMatching(/^(grant_refused|delegation_ended)$/),
      message: expect.stringContaining('the service refused'),
    })
    expect(engine.current()).toBeDefined()
    expect(engine.status().proxies[0]?.lastError?.code).toBeDefined()
  })
})

/** `certcache refresh` beside a running certcache, and `certcache status` when none runs. */
import { chmod, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openState } from '../../../src/certcache/state/open-state.ts'
import { readState } from '../../../src/certcache/state/state-records.ts'
import { delegating, logIn } from '../../api/delegation-support.ts'
import { useTestService } from '../../support/service.ts'
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
const request = (validForSeconds?: number) => ({ name: undefined, validForSeconds })
const always = request(400 * 86_400)
/** Half seconds of waiting are short. */
const clock = {
  now: () => new Date(),
  sleep: async (ms: number, signal: AbortSignal) => realClock.sleep(ms / 20, signal),
}

async function setUp(more: Record<string, Record<string, unknown>> = {}) {
  const directory = await temporaryDirectory()
  const settings = await settingsIn(directory, {
    service: { url: service().url },
    source: { kind: 'delegation', token: await logIn(service()) },
    ...more,
  })
  const once = async () => startEngine(settings, { background: false, clock })
  const look = async () => {
    const { engine } = await startEngine(settings, { background: false, readOnly: true })
    const status = engine.status().proxies[0]
    await engine.close()
    return status
  }
  return { directory, settings, once, look, file: join(directory, 'state/gwms_proxy') }
}
/** Both the state and the file have the proxy. */
async function written(directory: string): Promise<void> {
  await eventually(async () => {
    const names = await readdir(join(directory, 'state'))
    return ['gwms_proxy', 'default.proxies.sealed'].every((name) => names.includes(name))
  })
}
/** Time of every file below, to see that nothing was written. */
async function timesIn(directory: string): Promise<readonly unknown[]> {
  const names = (await readdir(directory)).toSorted()
  const found = names.map(async (name) => [name, (await stat(join(directory, name))).mtimeMs])
  return Promise.all(found)
}

describe('beside a running certcache', () => {
  test('a proxy that is good for longer is left alone, and whose it is is told', async () => {
    const { directory, settings, once } = await setUp()
    const { engine } = await startEngine(settings)
    const held = await engine.obtain(undefined, soon())
    await written(directory)
    const { engine: other } = await once()
    const result = await other.renewIfDue(request(3600), soon())
    expect(result).toMatchObject({ renewed: false, hasOtherRenewer: true })
    expect(result.proxy.pem).toEqual(held.pem)
    expect(engine.status().proxies[0]?.attempts).toEqual({ succeeded: 1, failed: 0 })
  })

  test.for([
    { name: 'with --valid', asked: always },
    { name: 'without', asked: request() },
  ])('one that is not is renewed by it, once, $name', async ({ asked }) => {
    const { directory, settings, once } = await setUp()
    const { engine } = await startEngine(settings)
    const held = await engine.obtain(undefined, soon())
    await written(directory)
    // Due for who asks, by settings of their own; not for who runs.
    const gwms_proxy = { key_type: 'ec-p256', lifetime_seconds: 7200 }
    const { engine: other } =
      asked === always
        ? await once()
        : await startEngine(await settingsIn(directory, { proxies: { gwms_proxy } }), {
            background: false,
            clock,
          })
    const result = await other.renewIfDue(asked, soon())
    expect(result).toMatchObject({ renewed: true, hasOtherRenewer: true })
    expect(result.proxy.pem.equals(held.pem)).toBe(false)
    expect(engine.current()?.pem).toEqual(result.proxy.pem)
    expect(engine.status().proxies[0]?.attempts).toEqual({ succeeded: 2, failed: 0 })
  })

  test('why it could not is told, with its code, at once', async () => {
    const { directory, settings, once } = await setUp()
    const { engine } = await startEngine(settings)
    const held = await engine.obtain(undefined, soon())
    await written(directory)
    const alice = service().provider.user('alice')
    alice.suspended = true
    try {
      const { engine: other } = await once()
      await expect(other.renewIfDue(always, soon())).rejects.toMatchObject({
        code: 'grant_refused',
        message: expect.stringMatching(
          /^another certcache with this state could not renew gwms_proxy: /,
        ),
      })
      expect(other.current()?.pem).toEqual(held.pem)
    } finally {
      alice.suspended = false
    }
  })

  test('whoever holds the lock and does nothing is given up on', async () => {
    const { settings, once } = await setUp()
    const store = await openState(settings.state, uid)
    const lock = await store.tryLock('renewer')
    const { engine } = await once()
    await expect(engine.renewIfDue(always, AbortSignal.timeout(100))).rejects.toMatchObject({
      code: 'overloaded',
      check: 'lock_elsewhere',
      message: expect.stringMatching(/another certcache renews gwms_proxy for this state/),
    })
    await lock?.release()
    await store.close()
  })

  test('a request of yesterday is not granted, and one for no proxy of ours ends nothing', async () => {
    const { settings } = await setUp()
    const { engine, logged } = await startEngine(settings)
    await engine.obtain(undefined, soon())
    const store = await openState(settings.state, uid)
    const put = async (at: Date, name: string) => {
      const text = JSON.stringify({
        id: name,
        at,
        name,
        valid_until: new Date(at.getTime() + 4e10),
      })
      await store.deposit(Buffer.from(text), 'renewal-request')
      await eventually(async () => (await store.version('renewal-request')) === undefined)
    }
    await put(new Date(Date.now() - 86_400_000), 'gwms_proxy')
    expect(logged.join('\n')).not.toContain('renewal-request.taken')
    await put(new Date(), 'other')
    await eventually(async () => (await readState(store, 'outcome'))?.answered === 'other')
    expect(engine.status().proxies[0]?.attempts).toEqual({ succeeded: 1, failed: 0 })
    await store.close()
  })
})

describe('status when none runs', () => {
  test('tells of a refresh that failed, until one goes well; and writes nothing', async () => {
    const { directory, once, look } = await setUp()
    const first = await once()
    await first.engine.renewIfDue(request(), soon())
    await first.engine.close()
    expect((await look())?.lastError).toBeUndefined()
    service().provider.faults.set('/token', { kind: 'status', status: 503 })
    try {
      const { engine } = await once()
      await expect(engine.renewIfDue(always, soon())).rejects.toThrow()
      await engine.close()
    } finally {
      service().provider.faults.clear()
    }
    const before = await timesIn(join(directory, 'state'))
    expect((await look())?.lastError).toMatchObject({
      code: 'overloaded',
      message: expect.stringMatching(/the identity provider iam cannot be reached/),
    })
    expect(await timesIn(join(directory, 'state'))).toEqual(before)
    const again = await once()
    await again.engine.renewIfDue(always, soon())
    await again.engine.close()
    expect((await look())?.lastError).toBeUndefined()
  })

  test.for([
    {
      name: 'a file that is gone',
      spoil: async (file: string) => rm(file),
      says: /does not hold the newest/,
    },
    {
      name: 'an old proxy',
      spoil: async (file: string) => writeFile(file, '-----BEGIN CERTIFICATE-----\nold'),
      says: /does not hold the newest/,
    },
    {
      name: 'another mode',
      spoil: async (file: string) => chmod(file, 0o644),
      says: /wrong mode/,
    },
    {
      name: 'something else in its place',
      spoil: async (file: string) => rm(file).then(async () => mkdir(file)),
      says: /is not a plain file/,
    },
  ])('$name is told, and left as it is', async ({ spoil, says }) => {
    const { directory, once, look, file } = await setUp()
    const { engine } = await once()
    await engine.renewIfDue(request(), soon())
    await engine.close()
    await spoil(file)
    const before = await timesIn(join(directory, 'state'))
    expect((await look())?.lastError).toMatchObject({
      code: 'configuration',
      message: expect.stringMatching(says),
    })
    expect(await timesIn(join(directory, 'state'))).toEqual(before)
  })

  test('files that only the refresh knew of are looked at', async () => {
    const { directory, settings, look, file } = await setUp()
    const path = join(directory, 'elsewhere')
    const outputs = [{ path, mode: '0600', format: 'pem', follow_symlink: false }] as const
    const proxy = settings.proxies['gwms_proxy']
    if (proxy === undefined) throw new TypeError('there is a proxy')
    const proxies = { gwms_proxy: { ...proxy, outputs: [...outputs] } }
    const { engine } = await startEngine({ ...settings, proxies }, { background: false })
    await engine.renewIfDue(request(), soon())
    await engine.close()
    expect((await look())?.lastError).toBeUndefined()
    await rm(path)
    expect((await look())?.lastError?.message).toContain(path)
    await expect(stat(file)).rejects.toThrow('ENOENT')
  })
})

/** Reloads and rotations while requests run: none is lost. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { StoreSettings } from '../../src/config/store-schema.ts'
import { modeForOthers } from '../../src/files/trusted-group.ts'
import { askProxy, wideLimits } from '../api/support.ts'
import { describeStores } from '../store/support.ts'
import { testConfiguration, type TestService } from '../support/service.ts'
import { useStoredServices } from '../support/stored-services.ts'

const installation = useStoredServices()

interface Reloadable extends TestService {
  /** Writes the configuration with these changes and reloads it. */
  readonly reloadWith: (changes: Record<string, unknown>) => Promise<void>
}

async function start(settings: StoreSettings): Promise<Reloadable> {
  await installation.configure(settings)
  const service = await installation.start()
  return {
    ...service,
    reloadWith: async (changes) => {
      await installation.configure(settings, changes)
      await installation.reload()
    },
  }
}

/** Asks for proxies from several callers at a time until `work` is done. Returns the status of each answer. */
async function whileIssuing(service: TestService, work: () => Promise<void>): Promise<number[]> {
  const token = service.token()
  const statuses: number[] = []
  const done = new AbortController()
  const caller = async (): Promise<void> => {
    while (!done.signal.aborted) {
      const response = await askProxy(service, '', token)
      await response.arrayBuffer()
      statuses.push(response.status)
    }
  }
  const callers = Array.from({ length: 4 }, caller)
  await work().finally(() => done.abort())
  await Promise.all(callers)
  return statuses
}

/** The next request reads the EEC of alice from the database. */
async function forgetInMemory({ running, provider }: TestService): Promise<void> {
  const { store, endEntities } = running.service
  const { sub } = provider.user('alice')
  const identity = await store.findIdentity({ issuer: provider.issuer.replace(/\/$/, ''), sub })
  expect(identity).toBeDefined()
  endEntities.forget(identity?.id ?? '')
}

const pause = async (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds))

describeStores('while the service runs', ({ newDatabase, query }) => {
  test('a reload makes no SSH CA, but takes one that was made', async () => {
    const settings = await newDatabase()
    const service = await start(settings)
    const { services } = testConfiguration(installation.provider)
    const shell = { plugin: 'ssh-certificate' }
    await expect(service.reloadWith({ services: { ...services, shell } })).rejects.toMatchObject({
      code: 'configuration',
      remedy: expect.stringContaining('`tts ssh-ca init`') as string,
    })
    expect(existsSync(installation.path('data/ssh-ca'))).toBe(false)
    expect((await askProxy(service, '')).status).toBe(200)
    expect(await installation.tts(['ssh-ca', 'init'])).toMatchObject({ code: 0 })
    await service.reloadWith({ services: { ...services, shell } })
    expect(service.running.service.services.has('shell')).toBe(true)
    // From now on the database refuses another one.
    const keys = await query(settings, "select kind from installation_keys where kind = 'ssh-ca'")
    expect(keys).toHaveLength(1)
  })

  test('a reload that is refused leaves the trusted group as it was', async () => {
    const service = await start(await newDatabase())
    const trusted = process.getgid?.() ?? 0
    const missing = { trusted_group: trusted, master_key_file: 'missing' }
    await expect(service.reloadWith(missing)).rejects.toMatchObject({ code: 'configuration' })
    // Mode without the bits of a trusted group.
    expect(modeForOthers({ mode: 0o660, gid: trusted })).toBe(0o660)
  })

  test('reloads lose no request, and the new configuration is in use', async () => {
    const settings = await newDatabase()
    const service = await start(settings)
    const { running, logged, reloadWith } = service
    const { services } = testConfiguration(installation.provider)
    const statuses = await whileIssuing(service, async () => {
      for (const label of ['one', 'two', 'three']) {
        await pause(100)
        await reloadWith({ services: { ...services, [label]: { plugin: 'info' } } })
        expect([...running.service.services.keys()]).toContain(label)
      }
      await pause(100)
    })
    expect(new Set(statuses)).toEqual(new Set([200]))
    // Each answer was recorded, whichever instance gave it.
    const [row] = (await query(settings, 'select count(*) as count from credentials')) as [
      { count: number | string },
    ]
    expect(Number(row.count)).toBe(statuses.length)
    await expect
      .poll(() => logged.filter((line) => line.includes('service.reloaded')))
      .toHaveLength(3)
    expect(logged.filter((line) => /"level":"(error|warn)"/.test(line))).toEqual([])
  })

  test('a configuration that cannot be used leaves the old one in use', async () => {
    const service = await start(await newDatabase())
    // A wrong data directory has no CA, and a reload must not make one.
    await expect(service.reloadWith({ data_dir: installation.path('typo') })).rejects.toMatchObject(
      {
        code: 'configuration',
      },
    )
    const statuses = await whileIssuing(service, async () => pause(50))
    expect(new Set(statuses)).toEqual(new Set([200]))
  })

  test('settings of the listener are said to need a restart', async () => {
    const { logged, reloadWith } = await start(await newDatabase())
    await reloadWith({ limits: { ...wideLimits, connections: 77 } })
    expect(logged.join('')).toContain('"settings":["limits.connections"]')
  })

  test('a rotation of the master key loses no request, and needs no restart', async () => {
    const service = await start(await newDatabase())
    await whileIssuing(service, async () => undefined)
    const statuses = await whileIssuing(service, async () => {
      const rotated = await installation.tts(['master-key', 'rotate'])
      expect(rotated).toMatchObject({ code: 0 })
      expect(rotated.notes).toMatch(
        /^Master key [0-9a-f]{8} is now in use; 1 key\(s\) were encrypted/,
      )
      // As for someone whose EEC another replica made, under the new key.
      await forgetInMemory(service)
      await pause(100)
    })
    expect(new Set(statuses)).toEqual(new Set([200]))
    const lines = (await readFile(installation.path('data/master-keys'), 'utf8')).trim().split('\n')
    expect(lines).toHaveLength(2)
    const early = await installation.tts(['master-key', 'prune'])
    expect(early).toMatchObject({ code: 1 })
    expect(early.notes).toContain('less than five minutes ago')
    const now = new Date(Date.now() + 301_000)
    const pruned = await installation.tts(['master-key', 'prune'], { now })
    expect(pruned.notes).toMatch(/^Removed [0-9a-f]{8} from /)
    await forgetInMemory(service)
    const after = await whileIssuing(service, async () => pause(50))
    expect(new Set(after)).toEqual(new Set([200]))
  })

  test('a renewed CA is in use after a reload', async () => {
    const { url, reloadWith } = await start(await newDatabase())
    const shown = async (): Promise<string> => (await fetch(`${url}/ca/ca.pem`)).text()
    const before = await shown()
    expect((await installation.tts(['ca', 'renew'])).code).toBe(0)
    expect(await shown()).toBe(before)
    await reloadWith({})
    expect(await shown()).not.toBe(before)
  })
})

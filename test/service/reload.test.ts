/** Reloads and rotations while requests run: none is lost. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { stringify } from 'yaml'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { createLog } from '../../src/base/log.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import type { StoreSettings } from '../../src/config/store-schema.ts'
import { type Running, serve } from '../../src/service/serve.ts'
import { bearer, soundCsr, wideLimits } from '../api/support.ts'
import { describeStores } from '../store/support.ts'
import { AUDIENCE, testConfiguration, waitUntilReady } from '../support/service.ts'
import { runTts } from '../support/terminal.ts'

let directory = ''
let provider: IdentityProvider
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tts-reload-'))
  provider = await startIdentityProvider()
})
afterEach(async () => {
  for (const running of started.splice(0)) await running.stop()
  await provider.close()
  await rm(directory, { recursive: true, force: true })
})

const started: Running[] = []

interface Reloadable {
  readonly running: Running
  readonly path: string
  readonly logged: readonly string[]
  /** Writes the configuration with these changes and reloads it. */
  readonly reloadWith: (changes: Record<string, unknown>) => Promise<void>
}

async function start(settings: StoreSettings): Promise<Reloadable> {
  const path = join(directory, 'tts.yaml')
  const store =
    settings.url === undefined ? { path: settings.path } : { url: settings.url, pool_size: 4 }
  const configuration = {
    ...testConfiguration(provider),
    data_dir: join(directory, 'data'),
    ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
    limits: wideLimits,
    store,
  }
  const write = async (changes: Record<string, unknown>): Promise<void> =>
    writeFile(path, stringify({ ...configuration, ...changes }), { mode: 0o600 })
  await write({})
  const logged: string[] = []
  const destination = { write: (line: string) => void logged.push(line) }
  const log = createLog({ level: 'info', name: 'tts', destination })
  const running = await serve(await loadConfiguration(path, {}), log)
  started.push(running)
  await waitUntilReady(running.url)
  return {
    running,
    path,
    logged,
    reloadWith: async (changes) => {
      await write(changes)
      await running.reload(await loadConfiguration(path, {}))
    },
  }
}

function tokenOf(username: string): string {
  const { sub, groups } = provider.user(username)
  return provider.mint({ claims: { sub, groups, aud: AUDIENCE } })
}

/** Asks for proxies from several callers at a time until `work` is done. Returns the status of each answer. */
async function whileIssuing(url: string, work: () => Promise<void>): Promise<number[]> {
  const csr = await soundCsr()
  const token = tokenOf('alice')
  const statuses: number[] = []
  const done = new AbortController()
  const caller = async (): Promise<void> => {
    while (!done.signal.aborted) {
      const response = await fetch(`${url}/v1/proxies`, {
        method: 'POST',
        headers: { ...bearer(token), 'content-type': 'application/pkcs10' },
        body: csr,
      })
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
async function forgetInMemory({ service: { store, endEntities } }: Running): Promise<void> {
  const { sub } = provider.user('alice')
  const identity = await store.findIdentity({ issuer: provider.issuer.replace(/\/$/, ''), sub })
  expect(identity).toBeDefined()
  endEntities.forget(identity?.id ?? '')
}

const pause = async (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds))

describeStores('while the service runs', ({ newDatabase, query }) => {
  test('reloads lose no request, and the new configuration is in use', async () => {
    const settings = await newDatabase()
    const { running, logged, reloadWith } = await start(settings)
    const { services } = testConfiguration(provider)
    const statuses = await whileIssuing(running.url, async () => {
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
    const { running, reloadWith } = await start(await newDatabase())
    // A wrong data directory has no CA, and a reload must not make one.
    await expect(reloadWith({ data_dir: join(directory, 'typo') })).rejects.toMatchObject({
      code: 'configuration',
    })
    const statuses = await whileIssuing(running.url, async () => pause(50))
    expect(new Set(statuses)).toEqual(new Set([200]))
  })

  test('settings of the listener are said to need a restart', async () => {
    const { logged, reloadWith } = await start(await newDatabase())
    await reloadWith({ limits: { ...wideLimits, connections: 77 } })
    expect(logged.join('')).toContain('"settings":["limits.connections"]')
  })

  test('a rotation of the master key loses no request, and needs no restart', async () => {
    const { running, path } = await start(await newDatabase())
    await whileIssuing(running.url, async () => undefined)
    const statuses = await whileIssuing(running.url, async () => {
      const rotated = await runTts(['--config', path, 'master-key', 'rotate'])
      expect(rotated).toMatchObject({ code: 0 })
      expect(rotated.notes).toMatch(
        /^Master key [0-9a-f]{8} is now in use; 1 key\(s\) were encrypted/,
      )
      // As for someone whose EEC another replica made, under the new key.
      await forgetInMemory(running)
      await pause(100)
    })
    expect(new Set(statuses)).toEqual(new Set([200]))
    const lines = (await readFile(join(directory, 'data', 'master-keys'), 'utf8'))
      .trim()
      .split('\n')
    expect(lines).toHaveLength(2)
    const early = await runTts(['--config', path, 'master-key', 'prune'])
    expect(early).toMatchObject({ code: 1 })
    expect(early.notes).toContain('less than five minutes ago')
    const later = { now: () => new Date(Date.now() + 301_000) }
    const pruned = await runTts(['--config', path, 'master-key', 'prune'], later)
    expect(pruned.notes).toMatch(/^Removed [0-9a-f]{8} from /)
    await forgetInMemory(running)
    const after = await whileIssuing(running.url, async () => pause(50))
    expect(new Set(after)).toEqual(new Set([200]))
  })

  test('a renewed CA is in use after a reload', async () => {
    const { running, path, reloadWith } = await start(await newDatabase())
    const shown = async (): Promise<string> => (await fetch(`${running.url}/ca/ca.pem`)).text()
    const before = await shown()
    expect((await runTts(['--config', path, 'ca', 'renew'])).code).toBe(0)
    expect(await shown()).toBe(before)
    await reloadWith({})
    expect(await shown()).not.toBe(before)
  })
})

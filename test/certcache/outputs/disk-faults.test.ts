/**
 * A full disk and a read-only one, by small file systems of their own: what each fault leaves, and how it is reported.
 */
import { execFileSync } from 'node:child_process'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
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
const always = { name: undefined, validForSeconds: 400 * 86_400 }

function mount(path: string, size: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'tmpfs', path], {
    stdio: 'ignore',
  })
}

/** Root alone can mount, and not in every container. */
const mayMount = await (async () => {
  if (uid !== 0) return false
  const path = '/tmp/certcache-mount-probe'
  await mkdir(path, { recursive: true })
  try {
    mount(path, '16k')
    execFileSync('umount', [path])
    return true
  } catch {
    return false
  } finally {
    await rm(path, { recursive: true })
  }
})()

/** Fills what is left. */
async function fill(directory: string): Promise<void> {
  await writeFile(join(directory, 'filler'), Buffer.alloc(1 << 20)).catch(() => undefined)
}

describe.skipIf(!mayMount)('a file system of its own for the proxy', () => {
  async function setUp() {
    const directory = await temporaryDirectory()
    const small = join(directory, 'small')
    await mkdir(small)
    mount(small, '64k')
    const path = join(small, 'gwms_proxy')
    let ahead = 0
    const clock = { ...realClock, now: () => new Date(Date.now() + ahead) }
    const settings = await settingsIn(directory, {
      service: { url: service().url },
      source: { token: await logIn(service()) },
      proxies: { gwms_proxy: { key_type: 'ec-p256', outputs: [{ path }] } },
    })
    const { engine } = await startEngine(settings, { clock })
    const old = await engine.obtain(undefined, soon())
    await eventually(async () => (await readFile(path).catch(() => undefined))?.equals(old.pem))
    const minuteLater = (): void => {
      ahead += 61_000
    }
    const unmount = async (): Promise<void> => {
      await engine.close()
      execFileSync('umount', [small])
    }
    return { engine, small, path, old, minuteLater, unmount }
  }

  const faults = [
    {
      name: 'full',
      spoil: fill,
      repair: async (small: string) => rm(join(small, 'filler')),
      reason: 'the disk is full',
      remedy: /Free space on the disk\. The old file is intact\./,
    },
    {
      name: 'read-only',
      spoil: async (small: string) => execFileSync('mount', ['-o', 'remount,ro', small]),
      repair: async (small: string) => execFileSync('mount', ['-o', 'remount,rw', small]),
      reason: 'the file system is read-only',
      remedy: /another file system/,
    },
  ]
  test.for(faults)(
    '$name: the old file stays, the new proxy is served, and written later',
    async (fault) => {
      const { engine, small, path, old, minuteLater, unmount } = await setUp()
      try {
        await fault.spoil(small)
        await expect(engine.renewIfDue(always, soon())).rejects.toMatchObject({
          code: 'configuration',
          message: `${path} cannot be written: ${fault.reason}`,
          remedy: expect.stringMatching(fault.remedy),
        })
        expect(await readFile(path)).toEqual(old.pem)
        const fresh = engine.current()
        expect(fresh?.pem.equals(old.pem)).toBe(false)
        expect(engine.status().proxies[0]).toMatchObject({
          lastError: { code: 'configuration', remedy: expect.stringMatching(fault.remedy) },
          attempts: { succeeded: 2, failed: 0 },
        })
        await fault.repair(small)
        minuteLater()
        await eventually(() => engine.status().proxies[0]?.lastError === undefined)
        expect(await readFile(path)).toEqual(fresh?.pem)
        expect(await readdir(small)).toEqual(['gwms_proxy'])
      } finally {
        await unmount()
      }
    },
  )
})

test.skipIf(!mayMount)(
  'a full disk for the state: served, told, and written once there is room',
  async () => {
    const directory = await temporaryDirectory()
    const state = join(directory, 'state')
    await mkdir(state, { mode: 0o700 })
    mount(state, '64k')
    try {
      const sections = {
        service: { url: service().url },
        source: { kind: 'delegation', token: await logIn(service()) },
        proxies: { gwms_proxy: { key_type: 'ec-p256', outputs: [] } },
      }
      const settings = await settingsIn(directory, sections)
      const first = await startEngine(settings)
      const old = await first.engine.obtain(undefined, soon())
      await first.engine.close()
      await fill(state)
      const { engine } = await startEngine(settings)
      expect(engine.current()?.pem).toEqual(old.pem)
      await eventually(() => engine.status().proxies[0]?.lastError === undefined)
      const { proxy } = await engine.renewIfDue(always, soon())
      expect(engine.current()).toBe(proxy)
      const error = await eventually(() => engine.status().proxies[0]?.lastError)
      expect(error).toMatchObject({
        code: 'configuration',
        message: expect.stringMatching(
          /default\.proxies\.sealed cannot be written: the disk is full/,
        ),
      })
      await rm(join(state, 'filler'))
      await eventually(() => engine.status().proxies[0]?.lastError === undefined)
      await engine.close()
      const again = await startEngine(settings, { background: false })
      expect(again.engine.current()?.pem).toEqual(proxy.pem)
      await again.engine.close()
    } finally {
      execFileSync('umount', [state])
    }
  },
)

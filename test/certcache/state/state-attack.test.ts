import { randomBytes } from 'node:crypto'
import { chmod, lstat, mkdir, readdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openState } from '../../../src/certcache/state/open-state.ts'
import { attackScene, noAttacker } from '../../support/attacker.ts'

describe.skipIf(noAttacker !== undefined)(
  `the state of root in a directory of another user (${noAttacker ?? 'as root'})`,
  () => {
    async function opened() {
      const scene = await attackScene()
      const directory = join(scene.home, 'state')
      const key = join(scene.victim, '..', 'key')
      await writeFile(key, randomBytes(32).toString('base64'), { mode: 0o600 })
      const place = { directory, key_file: key, cluster: 'c' }
      return { scene, directory, place, store: await openState(place, 0) }
    }

    test('nothing is written, locked or removed where a link leads that took its place', async () => {
      const { scene, directory, store } = await opened()
      const lock = await store.tryLock('renewer')
      await lock?.write('delegation', Buffer.from('x'))
      await writeFile(join(scene.victim, 'c.delegation.sealed'), 'of root', { mode: 0o600 })
      const before = await scene.victimState()
      await rename(directory, `${directory}.away`)
      await symlink(scene.victim, directory)
      const refused = { code: 'configuration', check: 'symbolic_link' }
      await expect(store.deposit(Buffer.from('x'))).rejects.toMatchObject(refused)
      await expect(lock?.write('delegation', Buffer.from('x'))).rejects.toMatchObject(refused)
      await expect(lock?.remove('delegation')).rejects.toMatchObject(refused)
      await expect(store.tryLock('other' as 'renewer')).rejects.toMatchObject(refused)
      expect(await scene.victimState()).toEqual(before)
      await lock?.release()
      await store.close()
    })

    test('nor in a directory of somebody else, or one that others can reach', async () => {
      const { scene, directory, store } = await opened()
      await rename(directory, `${directory}.away`)
      await mkdir(directory)
      await chmod(directory, 0o755)
      await expect(store.deposit(Buffer.from('x'))).rejects.toMatchObject({ check: 'file_mode' })
      await expect(store.tryLock('renewer')).rejects.toMatchObject({ check: 'file_mode' })
      expect(await readdir(directory)).toEqual([])
      expect((await lstat(scene.victim)).uid).toBe(0)
      await store.close()
    })

    test('a link in its place at the start is refused', async () => {
      const scene = await attackScene()
      const before = await scene.victimState()
      const directory = join(scene.home, 'state')
      await symlink(scene.victim, directory)
      for (const path of [directory, join(directory, 'below')]) {
        const place = { directory: path, key_file: join(path, 'key'), cluster: 'c' }
        await expect(openState(place, 0)).rejects.toMatchObject({ code: 'configuration' })
      }
      expect(await scene.victimState()).toEqual(before)
    })
  },
)

/** The database and the master keys belong together; a running service follows their file. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { forgetMasterKey } from '../../../src/store/encryption/forget-master-key.ts'
import {
  addMasterKey,
  parseMasterKeys,
  rotateMasterKeys,
} from '../../../src/store/encryption/master-keys.ts'
import { makeDelegation } from '../delegation-support.ts'
import {
  auditLine,
  describeStores,
  heldEndEntity,
  newEndEntity,
  newIdentity,
  NOW,
} from '../support.ts'

const line = (id: string): string => `${id}:${randomBytes(32).toString('base64')}\n`

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tts-ring-'))
})
afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})
const file = (name = 'master-keys') => ({ path: join(directory, name) })

describeStores('master keys', ({ newDatabase, open }) => {
  test('a file is made for a new database only', async () => {
    const settings = await newDatabase()
    await open(settings, file())
    const text = await readFile(file().path, 'utf8')
    await rm(file().path)
    // Nothing is encrypted yet: the record of the key alone is enough.
    await expect(open(settings, file())).rejects.toMatchObject({
      code: 'configuration',
      check: 'master_key_missing',
      message: `there is no file ${file().path}, but the database is encrypted under the master key ${text.slice(0, 8)}`,
      remedy: expect.stringContaining(`tts master-key forget ${text.slice(0, 8)}`) as string,
    })
    expect(existsSync(file().path)).toBe(false)
    await writeFile(file().path, text, { mode: 0o600 })
    await open(settings, file())
  })

  test.for([
    { name: 'another key of the same id', other: 'a', check: 'master_key_differs' },
    { name: 'a key of another id', other: 'b', check: 'master_key_unknown' },
  ])('$name is refused', async ({ other, check }) => {
    const settings = await newDatabase()
    await open(settings, parseMasterKeys(line('a'), 'x'))
    await expect(open(settings, parseMasterKeys(line(other), 'x'))).rejects.toMatchObject({
      code: 'configuration',
      check,
    })
  })

  test('of two replicas with new keys that start at the same time, one is refused', async () => {
    const settings = await newDatabase()
    const started = await Promise.allSettled([
      open(settings, file('one')),
      open(settings, file('two')),
    ])
    const refused = started.flatMap((result) =>
      result.status === 'rejected' ? [result.reason as { check: string }] : [],
    )
    expect(refused).toHaveLength(1)
    // `missing` when the other one had finished before this one looked.
    expect(['master_key_unknown', 'master_key_missing']).toContain(refused[0]?.check)
  })

  test('a running store reads what another one encrypted after a rotation', async () => {
    const settings = await newDatabase()
    const running = await open(settings, file())
    const { identity, held: first } = await newEndEntity(running)
    const rotated = await rotateMasterKeys(file(), () => false)
    const command = await open(settings, file())
    expect(await command.reencryptKeys()).toBe(1)
    expect(await running.findHeldEndEntity(identity.id, NOW, 'rsa-2048')).toEqual(first)
    // From now on it encrypts under the new key, too.
    const other = await newIdentity(running)
    await running.recordEndEntity(other.id, heldEndEntity(), auditLine())
    expect(await command.reencryptKeys()).toBe(0)
    expect((await command.masterKeys.recorded()).find(({ isCurrent }) => isCurrent)?.id).toBe(
      rotated,
    )
  })

  test('a running store notices by itself that the file has changed', async () => {
    const settings = await newDatabase()
    const running = await open(settings, file())
    expect(await running.masterKeys.reload()).toBe(false)
    await rotateMasterKeys(file(), () => false)
    // The pause between two readings is over.
    await expect.poll(async () => running.masterKeys.reload(), { timeout: 5000 }).toBe(true)
  })

  test('a file that cannot be used leaves a running store with its keys', async () => {
    const settings = await newDatabase()
    const running = await open(settings, file())
    const { identity, held: first } = await newEndEntity(running)
    await writeFile(file().path, 'nonsense\n')
    expect(await running.masterKeys.reload()).toBe(false)
    expect(await running.findHeldEndEntity(identity.id, NOW, 'rsa-2048')).toEqual(first)
  })

  test('replicas: a key that all of them know before it is used interrupts nobody', async () => {
    const settings = await newDatabase()
    const here = await open(settings, file('here'))
    const key = await readFile(file('here').path, 'utf8')
    const added = await addMasterKey(file('here'))
    const copy = await readFile(file('here').path, 'utf8')
    await writeFile(file('there').path, copy, { mode: 0o600 })
    const there = await open(settings, file('there'))
    const used = await here.masterKeys.recorded()
    expect(used.map(({ id }) => id)).toEqual([key.slice(0, 8)])
    const isPrepared = (id: string): boolean => !used.some((one) => one.id === id)
    expect(await rotateMasterKeys(file('here'), isPrepared)).toBe(added)
    const command = await open(settings, file('here'))
    const { identity, held: made } = await newEndEntity(command)
    // The file of the other replica still has the old order; the database says which key is in use.
    expect(await there.findHeldEndEntity(identity.id, NOW, 'rsa-2048')).toEqual(made)
    await open(settings, file('there'))
    expect((await there.masterKeys.recorded()).find(({ isCurrent }) => isCurrent)?.id).toBe(added)
  })

  test('a lost key is forgotten with everything under it, and a known one is not', async () => {
    const settings = await newDatabase()
    const store = await open(settings, parseMasterKeys(line('lost'), 'x'))
    const { identity } = await newEndEntity(store)
    const delegation = await makeDelegation(store, identity)
    const source = parseMasterKeys(line('new'), 'x')
    await expect(open(settings, source)).rejects.toMatchObject({ check: 'master_key_unknown' })
    await expect(forgetMasterKey({ settings, source, id: 'new', now: NOW })).rejects.toMatchObject({
      code: 'conflict',
      check: 'master_key_known',
    })
    expect(await forgetMasterKey({ settings, source, id: 'lost', now: NOW })).toEqual({
      endEntityKeys: 1,
      delegations: 1,
      sessions: 0,
    })
    const again = await open(settings, source)
    expect(await again.findHeldEndEntity(identity.id, NOW, 'rsa-2048')).toBeUndefined()
    expect(await again.delegations.find(delegation.id)).toMatchObject({
      state: 'ended',
      endReason: 'its refresh token was encrypted under a master key that is lost',
    })
    expect((await again.listAudit({ limit: 1 }))[0]).toMatchObject({
      event: 'master-key.forgotten',
      detail: 'master key lost',
    })
  })
})

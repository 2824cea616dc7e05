import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  addMasterKey,
  createMasterKeyFile,
  parseMasterKeys,
  readMasterKeyFile,
  removeMasterKeys,
  rotateMasterKeys,
} from '../../../src/store/encryption/master-keys.ts'
import { openKey, sealKey } from '../../../src/store/encryption/sealed-key.ts'
import {
  auditLine,
  describeStores,
  heldEndEntity,
  newEndEntity,
  newIdentity,
  newMasterKeys,
  NOW,
} from '../support.ts'

const encoded = (): string => randomBytes(32).toString('base64')

describe('master keys file', () => {
  let directory = ''
  let path = ''
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tts-keys-'))
    path = join(directory, 'master-keys')
  })
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true })
  })

  test('is made private with one random key, and then only read', async () => {
    expect(await readMasterKeyFile({ path })).toBeUndefined()
    const created = await createMasterKeyFile({ path })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readFile(path, 'utf8')).toMatch(/^[0-9a-f]{8}:[A-Za-z0-9+/]{43}=\n$/)
    expect((await createMasterKeyFile({ path })).currentId).toBe(created.currentId)
    expect((await readMasterKeyFile({ path }))?.currentId).toBe(created.currentId)
  })

  test('many processes at once get the same key', async () => {
    const loaded = await Promise.all(
      Array.from({ length: 8 }, async () => createMasterKeyFile({ path })),
    )
    expect(new Set(loaded.map((keys) => keys.currentId)).size).toBe(1)
  })

  test('rotation puts a new key first and keeps the old', async () => {
    const before = await createMasterKeyFile({ path })
    const id = await rotateMasterKeys({ path }, () => false)
    const after = await readMasterKeyFile({ path })
    expect(after?.currentId).toBe(id)
    expect([...(after?.keys.keys() ?? [])]).toEqual([id, before.currentId])
  })

  test('rotation uses a key that was added for it, and removal leaves the others', async () => {
    const before = await createMasterKeyFile({ path })
    const added = await addMasterKey({ path })
    expect((await readMasterKeyFile({ path }))?.currentId).toBe(before.currentId)
    expect(await rotateMasterKeys({ path }, (id) => id === added)).toBe(added)
    const after = await readMasterKeyFile({ path })
    expect([...(after?.keys.keys() ?? [])]).toEqual([added, before.currentId])
    expect(await removeMasterKeys({ path }, (id) => id !== added)).toEqual([before.currentId])
    expect([...((await readMasterKeyFile({ path }))?.keys.keys() ?? [])]).toEqual([added])
  })

  test('a file that others can read is refused', async () => {
    await writeFile(path, `a:${encoded()}\n`)
    await chmod(path, 0o644)
    const refusal = { code: 'configuration', check: 'file_mode' }
    await expect(readMasterKeyFile({ path })).rejects.toMatchObject(refusal)
    await expect(rotateMasterKeys({ path }, () => false)).rejects.toMatchObject(refusal)
  })

  test('keys do not show when printed', () => {
    const key = encoded()
    const printed = inspect(parseMasterKeys(`a:${key}`, 'x'), { depth: 9, showHidden: true })
    expect(printed).not.toContain(key)
  })
})

const badLines: readonly { name: string; line: string }[] = [
  { name: 'nothing', line: '' },
  { name: 'no colon', line: encoded() },
  { name: 'no id', line: `:${encoded()}` },
  { name: 'an id with a blank', line: `a b:${encoded()}` },
  { name: 'a short key', line: `a:${randomBytes(31).toString('base64')}` },
  { name: 'a long key', line: `a:${randomBytes(33).toString('base64')}` },
  { name: 'no base64', line: `a:!${encoded()}` },
  { name: 'an id twice', line: `a:${encoded()}\na:${encoded()}` },
]

test.for(badLines)('$name is refused without repeating it', ({ line }) => {
  let message = ''
  try {
    parseMasterKeys(line, 'keys')
  } catch (error) {
    expect(error).toMatchObject({ code: 'configuration' })
    message = (error as Error).message
  }
  expect(message).toContain('keys')
  expect(message).not.toMatch(/[A-Za-z0-9+/]{30}/)
})

describe('sealed keys', () => {
  const owner = { serial: '0a', identityId: 'i' }
  const secret = randomBytes(100)

  test('open for their owner only, and whole', () => {
    const keys = newMasterKeys()
    const sealed = sealKey(keys, owner, secret)
    expect(openKey(keys, owner, sealed)).toEqual(secret)
    expect(Buffer.from(sealed.sealed).includes(secret.subarray(0, 16))).toBe(false)
    const tampered = { check: 'held_key_tampered' }
    const open = (
      change: { serial?: string; identityId?: string },
      bytes = sealed.sealed,
    ): unknown => {
      try {
        return openKey(keys, { ...owner, ...change }, { ...sealed, sealed: bytes })
      } catch (error) {
        return error
      }
    }
    expect(open({ serial: '0b' })).toMatchObject(tampered)
    expect(open({ identityId: 'j' })).toMatchObject(tampered)
    for (let index = 0; index < sealed.sealed.length; index += 7) {
      const changed = Buffer.from(sealed.sealed)
      changed[index]! ^= 1
      expect(open({}, changed)).toMatchObject(tampered)
    }
    for (const length of [0, 11, 12, 27, 28, sealed.sealed.length - 1]) {
      expect(open({}, sealed.sealed.subarray(0, length))).toMatchObject(tampered)
    }
  })

  test('never use an initialisation vector twice', () => {
    const keys = newMasterKeys()
    const vectors = Array.from({ length: 50 }, () =>
      Buffer.from(sealKey(keys, owner, secret).sealed)
        .subarray(0, 12)
        .toString('hex'),
    )
    expect(new Set(vectors).size).toBe(50)
  })
})

describeStores('held keys', ({ newDatabase, open, query }) => {
  test('rotation: old keys still open, are encrypted anew, and the old master key may go', async () => {
    const settings = await newDatabase()
    const [old, fresh] = [`old:${encoded()}`, `new:${encoded()}`]
    const before = await open(settings, parseMasterKeys(old, 'x'))
    const { identity, held } = await newEndEntity(before)
    for (let count = 0; count < 120; count += 1) {
      await before.recordEndEntity(identity.id, heldEndEntity({ notAfter: NOW }), auditLine())
    }
    const both = await open(settings, parseMasterKeys(`${fresh}\n${old}`, 'x'))
    expect(await both.findHeldEndEntity(identity.id, NOW, 'rsa-2048')).toEqual(held)
    expect(await both.reencryptKeys()).toBe(121)
    expect(await both.reencryptKeys()).toBe(0)
    const after = await open(settings, parseMasterKeys(fresh, 'x'))
    expect(await after.findHeldEndEntity(identity.id, NOW, 'rsa-2048')).toEqual(held)
    // Not the key of the records, although nothing is encrypted under another one now.
    await expect(open(settings, parseMasterKeys(old, 'x'))).rejects.toMatchObject({
      code: 'configuration',
      check: 'master_key_unknown',
    })
    await expect(before.findHeldEndEntity(identity.id, NOW, 'rsa-2048')).rejects.toMatchObject({
      code: 'internal',
      check: 'master_key_unknown',
    })
  })

  test("a key changed in the database, or put in another's row, is refused", async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    const [alice, bob] = [await newEndEntity(store), await newEndEntity(store)]
    await query(
      settings,
      `update end_entity_keys set sealed_key =
         (select sealed_key from end_entity_keys where serial = '${alice.serial}') where serial = '${bob.serial}'`,
    )
    await expect(store.findHeldEndEntity(bob.identity.id, NOW, 'rsa-2048')).rejects.toMatchObject({
      code: 'internal',
      check: 'held_key_tampered',
    })
    expect(await store.findHeldEndEntity(alice.identity.id, NOW, 'rsa-2048')).toEqual(alice.held)
  })

  test('no private key stands in the database in clear', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    const identity = await newIdentity(store)
    const held = heldEndEntity()
    await store.recordEndEntity(identity.id, held, auditLine())
    const [row] = (await query(settings, 'select sealed_key from end_entity_keys')) as [
      { sealed_key: Uint8Array },
    ]
    expect(Buffer.from(row.sealed_key).includes(held.privateKeyDer.subarray(100, 116))).toBe(false)
  })
})

/** What access tokens need in the records, and the keys over their life, with two replicas on one database. */
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose'
import { expect, test } from 'vitest'
import { createLog } from '../../src/base/log.ts'
import { createTokenKeys, replaceTokenKeys } from '../../src/domain/access-tokens/token-keys.ts'
import type { Store } from '../../src/domain/store.ts'
import { forgetMasterKey } from '../../src/store/encryption/forget-master-key.ts'
import { parseMasterKeys } from '../../src/store/encryption/master-keys.ts'
import { DAY_MS, describeStores, newMasterKeys, NOW, origin } from './support.ts'

const log = createLog({ level: 'silent', name: 'test', destination: { write: () => undefined } })
const line = (id: string): string => `${id}:${Buffer.alloc(32, id).toString('base64')}`

describeStores('access tokens', ({ newDatabase, open, query }) => {
  /** Two replicas of one clock, each of which looks at the records at every call. */
  function replicas(stores: readonly Store[]) {
    let days = 0
    let ms = 0
    const now = () => new Date(NOW.getTime() + days * DAY_MS)
    const keys = stores.map((store) =>
      createTokenKeys({
        store,
        now,
        log,
        nowMs: () => (ms += 61_000),
      }),
    )
    return { keys, goTo: (day: number) => (days = day) }
  }
  const kidOf = (token: string) => String(decodeProtectedHeader(token).kid)

  test('replicas sign with one key, publish the next before they use it, and drop the last', async () => {
    const settings = await newDatabase()
    const masterKeys = newMasterKeys()
    const { keys, goTo } = replicas([
      await open(settings, masterKeys),
      await open(settings, masterKeys),
    ])
    const both = async () => {
      const tokens = await Promise.all(keys.map((one) => one.sign({ iss: 'x' })))
      const sets = await Promise.all(keys.map((one) => one.keySet()))
      for (const token of tokens)
        for (const set of sets)
          await jwtVerify(token, createLocalJWKSet(set as JSONWebKeySet), { algorithms: ['ES256'] })
      expect(sets[0]).toEqual(sets[1])
      const kids = new Set(tokens.map(kidOf))
      expect(kids.size).toBe(1)
      return { kid: [...kids][0], published: sets[0]?.keys.map(({ kid }) => kid) }
    }
    const first = await both()
    expect(first.published).toEqual([first.kid])
    goTo(90)
    const announced = await both()
    expect(announced.kid).toBe(first.kid)
    expect(announced.published).toHaveLength(2)
    goTo(95)
    const changed = await both()
    expect(changed).toEqual({ kid: announced.published?.[1], published: announced.published })
    goTo(96)
    expect(await both()).toEqual({ kid: changed.kid, published: [changed.kid] })
    expect(await query(settings, 'select id from token_keys')).toHaveLength(1)
  })

  test('replaced keys are gone at once, on all replicas', async () => {
    const settings = await newDatabase()
    const masterKeys = newMasterKeys()
    const stores = [await open(settings, masterKeys), await open(settings, masterKeys)] as const
    const { keys, goTo } = replicas(stores)
    const before = kidOf(await keys[0]!.sign({}))
    goTo(90)
    await keys[0]!.keySet()
    const request = { now: new Date(NOW.getTime() + 90 * DAY_MS), origin }
    const id = await replaceTokenKeys(stores[0], request)
    expect(id).not.toBe(before)
    for (const one of keys) {
      expect(kidOf(await one.sign({}))).toBe(id)
      expect((await one.keySet()).keys.map(({ kid }) => kid)).toEqual([id])
    }
    expect(await stores[0].listAudit({ limit: 1 })).toMatchObject([
      { event: 'access_token_key.replaced', detail: id },
    ])
  })

  test('without the database the last keys are published, and nothing without any', async () => {
    const store = await open(await newDatabase(), newMasterKeys())
    const [keys, others] = replicas([store, store]).keys
    const before = await keys!.keySet()
    await store.close()
    expect(await keys!.keySet()).toBe(before)
    await expect(others!.keySet()).rejects.toMatchObject({ code: 'shutting_down' })
  })

  test('the private key is encrypted, bound to its row, and follows the master keys', async () => {
    const settings = await newDatabase()
    const store = await open(settings, parseMasterKeys(line('one'), 'x'))
    const [keys] = replicas([store]).keys
    const kid = kidOf(await keys!.sign({}))
    const [key] = await store.tokenKeys.list()
    expect(key).toMatchObject({ id: kid, createdAt: NOW })
    const [row] = (await query(settings, 'select sealed_key from token_keys')) as [
      { sealed_key: Uint8Array },
    ]
    expect(Buffer.from(row.sealed_key).includes(key!.privateKeyDer.subarray(-32))).toBe(false)
    await store.close()

    const rotated = await open(settings, parseMasterKeys(`${line('two')}\n${line('one')}`, 'x'))
    expect(await rotated.reencryptKeys()).toBe(1)
    await rotated.close()
    const source = parseMasterKeys(line('two'), 'x')
    const again = await open(settings, source)
    expect(await again.tokenKeys.list()).toEqual([key])
    await query(settings, `update token_keys set id = 'other'`)
    await expect(again.tokenKeys.list()).rejects.toMatchObject({ check: 'held_key_tampered' })
    await again.close()

    const three = parseMasterKeys(line('three'), 'x')
    await expect(open(settings, three)).rejects.toMatchObject({ check: 'master_key_unknown' })
    await forgetMasterKey({ settings, source: three, id: 'two', now: NOW })
    const renewed = await open(settings, three)
    expect(await renewed.tokenKeys.list()).toEqual([])
    expect(kidOf(await replicas([renewed]).keys[0]!.sign({}))).not.toBe(kid)
  })
})

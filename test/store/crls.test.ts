import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import type { CrlRecord } from '../../src/domain/records.ts'
import { DAY_MS, describeStores, NOW } from './support.ts'

/** More than two parts, the last of which is not full. */
const LARGE = 1_300_000

function newCrl(number: number, length = 100, thisUpdate = NOW): CrlRecord {
  const nextUpdate = new Date(thisUpdate.getTime() + DAY_MS)
  return { number, thisUpdate, nextUpdate, der: randomBytes(length), revocations: number }
}

describeStores('CRLs', ({ newDatabase, open, query }) => {
  test.for([0, 1, 512 * 1024 - 1, 512 * 1024, 512 * 1024 + 1, 1024 * 1024, LARGE])(
    'one of %i bytes is read as it was stored',
    async (length) => {
      const store = await open(await newDatabase())
      const crl = newCrl(1, length)
      expect(await store.addCrl(crl)).toBe(true)
      const found = await store.latestCrl()
      expect(found?.der.equals(crl.der)).toBe(true)
      expect({ ...found, der: undefined }).toEqual({ ...crl, der: undefined })
    },
  )

  test('of two of one number written at once one is stored, whole, and nothing of the other stays', async () => {
    const settings = await newDatabase()
    const stores = [await open(settings), await open(settings)]
    const crls = [newCrl(1, LARGE), newCrl(1, LARGE), newCrl(1, LARGE), newCrl(1, LARGE)]
    const stored = await Promise.all(crls.map((crl, index) => stores[index % 2]!.addCrl(crl)))
    expect(stored.filter(Boolean)).toHaveLength(1)
    const { der } = (await stores[0]!.latestCrl())!
    expect(der.equals(crls[stored.indexOf(true)]!.der)).toBe(true)
    expect(await query(settings, 'select position from crl_parts')).toHaveLength(3)
  })

  test('the newest and ten older ones stay, with their bytes and no others', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    for (let number = 1; number <= 14; number += 1)
      expect(await store.addCrl(newCrl(number))).toBe(true)
    const kept = await query(settings, 'select number, id from crls order by number')
    expect(kept.map((row) => Number((row as { number: unknown }).number))).toEqual(
      Array.from({ length: 11 }, (_, index) => index + 4),
    )
    const parts = await query(settings, 'select crl_id from crl_parts')
    expect(parts.map((row) => (row as { crl_id: string }).crl_id).toSorted()).toEqual(
      kept.map((row) => (row as { id: string }).id).toSorted(),
    )
  })

  test('what a process that ended had written of its CRL is not read, and removed after an hour', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    await query(
      settings,
      `insert into crl_parts (crl_id, position, this_update, bytes) select 'abandoned', 0, ${NOW.getTime()}, cast('x' as ${settings.url === undefined ? 'blob' : 'bytea'})`,
    )
    const count = async (): Promise<number> =>
      (await query(settings, `select position from crl_parts where crl_id = 'abandoned'`)).length
    expect(await count()).toBe(1)
    expect(await store.latestCrl()).toBeUndefined()
    // Another process may be writing it now.
    await store.addCrl(newCrl(1, 100, new Date(NOW.getTime() + 3_600_000)))
    expect(await count()).toBe(1)
    await store.addCrl(newCrl(2, 100, new Date(NOW.getTime() + 3_600_001)))
    expect(await count()).toBe(0)
    expect((await store.latestCrl())?.number).toBe(2)
  })

  test('one of which a part is missing counts as none, and the next one takes its place', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    await store.addCrl(newCrl(1, LARGE))
    await query(settings, 'delete from crl_parts where position = 1')
    expect(await store.latestCrl()).toBeUndefined()
    expect(await store.addCrl(newCrl(1))).toBe(false)
    expect(await store.addCrl(newCrl(2))).toBe(true)
    expect((await store.latestCrl())?.number).toBe(2)
  })
})

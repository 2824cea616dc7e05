/** The groups of the newest token of each identity. */
import { expect, test } from 'vitest'
import { describeStores, NOW } from './support.ts'

describeStores('known groups', ({ newDatabase, open }) => {
  const at = (seconds: number): Date => new Date(NOW.getTime() + seconds * 1000)

  test('are replaced by those that were stated later, never by those of before', async () => {
    const store = await open(await newDatabase())
    const candidate = { subject: '/CN=alice', comparable: '/cn=alice' }
    const { id } = await store.ensureIdentity({ issuer: 'i', sub: 's' }, [candidate], NOW)
    expect(await store.knownGroups.find(id)).toBeUndefined()
    const first = { statedAt: at(0), groups: { groups: ['cms', 'a\u0000b', '\ud800'] } }
    await store.knownGroups.remember(id, first)
    expect(await store.knownGroups.find(id)).toEqual(first)
    await store.knownGroups.remember(id, { statedAt: at(-1), groups: { groups: ['old'] } })
    expect(await store.knownGroups.find(id)).toEqual(first)
    const same = { statedAt: at(0), groups: { groups: [] } }
    await store.knownGroups.remember(id, same)
    expect(await store.knownGroups.find(id)).toEqual(same)
    const later = { statedAt: at(1), groups: { groups: ['x'], 'wlcg.groups': ['y'] } }
    const writes = [later, { ...first, statedAt: at(0.5) }, later].map(async (known) =>
      store.knownGroups.remember(id, known),
    )
    await Promise.all(writes)
    expect(await store.knownGroups.find(id)).toEqual(later)
  })
})

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { TtsError } from '../../src/base/errors.ts'
import { GroupCommit, type GroupCommitOptions } from '../../src/store/group-commit.ts'
import {
  auditLine,
  certificate,
  credential,
  describeStores,
  newCredential,
  newEndEntity,
  NOW,
  origin,
} from './support.ts'

function groupOf(overrides: Partial<GroupCommitOptions<string>> = {}): {
  group: GroupCommit<string>
  batches: string[][]
} {
  const batches: string[][] = []
  const commit = async (entries: readonly string[]): Promise<undefined[]> => {
    batches.push([...entries])
    await new Promise((resolve) => setImmediate(resolve))
    return entries.map(() => undefined)
  }
  return {
    group: new GroupCommit({ commit, maxBatch: 3, maxQueued: 5, timeoutMs: 1000, ...overrides }),
    batches,
  }
}

describe('GroupCommit', () => {
  test('what arrives in one turn is committed together, within the bound', async () => {
    const { group, batches } = groupOf()
    await Promise.all(['a', 'b', 'c', 'd'].map((entry) => group.submit(entry)))
    expect(batches).toEqual([['a', 'b', 'c'], ['d']])
  })

  test('while many requests are under way, it waits for more of them', async () => {
    let isCrowded = true
    const { group, batches } = groupOf({ isCrowded: () => isCrowded })
    const submitLater = async (entry: string): Promise<void> => {
      await sleep(1)
      await group.submit(entry)
    }
    await Promise.all([group.submit('a'), submitLater('b')])
    isCrowded = false
    await Promise.all([group.submit('c'), submitLater('d')])
    expect(batches).toEqual([['a', 'b'], ['c'], ['d']])
  })

  test('a full batch is not held back', async () => {
    const { group, batches } = groupOf({ isCrowded: () => true })
    const committed = Promise.all(['a', 'b', 'c'].map((entry) => group.submit(entry)))
    await sleep(0)
    await nextTurn()
    expect(batches).toEqual([['a', 'b', 'c']])
    await committed
  })

  test('a full queue refuses at once and takes entries again later', async () => {
    const { group } = groupOf()
    const waiting = ['a', 'b', 'c', 'd', 'e'].map((entry) => group.submit(entry))
    await expect(group.submit('f')).rejects.toMatchObject({
      code: 'overloaded',
      retryAfterSeconds: 1,
    })
    await Promise.all(waiting)
    await expect(group.submit('g')).resolves.toBeUndefined()
  })

  test('each entry gets its own outcome', async () => {
    const conflict = new TtsError('conflict', 'no')
    const commit = async (entries: readonly string[]): Promise<(TtsError | undefined)[]> =>
      entries.map((entry) => (entry === 'bad' ? conflict : undefined))
    const { group } = groupOf({ commit })
    const results = await Promise.allSettled(['a', 'bad', 'c'].map((entry) => group.submit(entry)))
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  })

  test('a database that fails fails the batch and not the next', async () => {
    const commit = vi
      .fn<GroupCommitOptions<string>['commit']>()
      .mockRejectedValueOnce(new Error('connection lost'))
      .mockResolvedValue([undefined])
    const { group } = groupOf({ commit })
    await expect(group.submit('a')).rejects.toMatchObject({ code: 'store_unavailable' })
    await expect(group.submit('b')).resolves.toBeUndefined()
  })

  test('an entry that waited too long is given up and never committed', async () => {
    const { group, batches } = groupOf({ timeoutMs: -1 })
    await expect(group.submit('a')).rejects.toMatchObject({ code: 'store_unavailable' })
    expect(batches).toEqual([])
  })

  test('drain waits for everything that was submitted', async () => {
    const { group, batches } = groupOf()
    const waiting = ['a', 'b', 'c', 'd'].map((entry) => group.submit(entry))
    await group.drain()
    expect(batches.flat()).toEqual(['a', 'b', 'c', 'd'])
    await Promise.all(waiting)
  })
})

describeStores('recording', ({ newDatabase, open, query }) => {
  test('bad entries fail alone among many, leaving nothing of them', async () => {
    const store = await open(await newDatabase())
    const { identity, serial } = await newEndEntity(store)
    const taken = certificate({ issuerSerial: serial })
    await newCredential(store, identity, serial, { certificates: [taken] })
    const entries = Array.from({ length: 40 }, (_, index) => {
      if (index === 7) return credential({ ...identity, id: 'nobody' }, serial)
      if (index === 21) return credential(identity, 'no-such-eec')
      if (index === 22)
        return credential(identity, serial, { certificates: [certificate(), taken] })
      return credential(identity, serial)
    })
    const results = await Promise.allSettled(
      entries.map((entry) => store.recordCredential(entry, auditLine({ credentialId: entry.id }))),
    )
    const failed = results.flatMap((result, index) => (result.status === 'rejected' ? [index] : []))
    expect(failed).toEqual([7, 21, 22])
    expect(results[21]).toMatchObject({ reason: { code: 'internal' } })
    expect(results[22]).toMatchObject({ reason: { code: 'conflict', check: 'duplicate_record' } })
    const listed = await store.listCredentials({ limit: 1000 })
    expect(listed).toHaveLength(38)
    const audited = new Set(
      (await store.listAudit({ limit: 1000 })).map((line) => line.credentialId),
    )
    for (const index of failed) {
      expect(audited).not.toContain(entries[index]!.id)
      expect(await store.findCredential(entries[index]!.id)).toBeUndefined()
    }
  })

  test('a revoked EEC refuses its own callers only', async () => {
    const store = await open(await newDatabase())
    const [alice, bob] = [await newEndEntity(store), await newEndEntity(store)]
    const first = await newCredential(store, alice.identity, alice.serial)
    await store.revoke({ credentialId: first.id, reason: 'keyCompromise', at: NOW, origin })
    const entries = Array.from({ length: 20 }, (_, index) =>
      index % 2 === 0
        ? credential(alice.identity, alice.serial)
        : credential(bob.identity, bob.serial),
    )
    const results = await Promise.allSettled(
      entries.map((entry) => store.recordCredential(entry, auditLine({ credentialId: entry.id }))),
    )
    for (const [index, result] of results.entries()) {
      if (index % 2 === 1) expect(result.status).toBe('fulfilled')
      else
        expect(result).toMatchObject({ reason: { code: 'conflict', check: 'end_entity_revoked' } })
    }
    expect(await store.listCredentials({ identityId: alice.identity.id })).toHaveLength(1)
    expect(await store.listCredentials({ identityId: bob.identity.id })).toHaveLength(10)
  })

  test.each([1, 2, 15, 16, 17, 31, 33, 100, 256, 300])(
    '%i entries at the same time are all on record, each with its own values',
    async (count) => {
      const settings = await newDatabase()
      const store = await open(settings)
      const details = Array.from({ length: count }, (_, index) => `line ${index}`)
      await Promise.all(details.map((detail) => store.recordAudit(auditLine({ detail }))))
      const rows = (await query(settings, 'select detail from audit')) as { detail: string }[]
      expect(rows.map(({ detail }) => detail).sort()).toEqual(details.sort())
    },
  )

  test('a revocation at the same time as records: each credential is refused or dies with it', async () => {
    const settings = await newDatabase()
    const [left, right] = [await open(settings), await open(settings)]
    for (let round = 0; round < 5; round += 1) {
      const { identity, serial } = await newEndEntity(left)
      const first = await newCredential(left, identity, serial)
      // Handled from the start: they may be refused before the revocation is answered.
      const records = Promise.allSettled(
        Array.from({ length: 30 }, () => newCredential(left, identity, serial)),
      )
      const revocation = await right.revoke({
        credentialId: first.id,
        reason: 'superseded',
        at: NOW,
        origin,
      })
      const results = await records
      const recorded = results.flatMap((result) =>
        result.status === 'fulfilled' ? [result.value.id] : [],
      )
      expect(revocation.affectedCredentialIds.toSorted()).toEqual(
        [first.id, ...recorded].toSorted(),
      )
    }
  })

  test('more rows than a statement takes are written', async () => {
    const store = await open(await newDatabase())
    const { identity, serial } = await newEndEntity(store)
    const certificates = Array.from({ length: 1300 }, () => certificate({ issuerSerial: serial }))
    const made = await newCredential(store, identity, serial, { certificates })
    expect((await store.findCredential(made.id))?.certificates).toEqual(certificates)
  })

  test('the queue is bounded', async () => {
    const store = await open(await newDatabase({ queue_limit: 10 }))
    const results = await Promise.allSettled(
      Array.from({ length: 30 }, () => store.recordAudit(auditLine())),
    )
    const refused = results.filter((result) => result.status === 'rejected')
    expect(refused.length).toBeGreaterThan(0)
    for (const result of refused) expect(result).toMatchObject({ reason: { code: 'overloaded' } })
    expect(await store.listAudit({})).toHaveLength(30 - refused.length)
  })
})

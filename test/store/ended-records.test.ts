import { randomBytes } from 'node:crypto'
import { beforeAll, expect, test } from 'vitest'
import type { StoreSettings } from '../../src/config/store-schema.ts'
import type { CredentialRecord, Identity, RecordPlace } from '../../src/domain/records.ts'
import type { Store } from '../../src/domain/store.ts'
import { openSnapshot, restoreRows } from '../../src/store/table-backup.ts'
import {
  auditLine,
  certificate,
  DAY_MS,
  describeStores,
  heldEndEntity,
  newCredential,
  newIdentity,
  NOW,
  origin,
} from './support.ts'

const before = new Date(NOW.getTime() - 400 * DAY_MS)
const at = (ms: number): Date => new Date(before.getTime() + ms)

/** An identity with an EEC that ends at this time. */
async function endEntityUntil(
  store: Store,
  notAfter: Date,
): Promise<{ identity: Identity; serial: string }> {
  const identity = await newIdentity(store)
  const held = heldEndEntity({ notBefore: at(-100 * DAY_MS), notAfter })
  await store.recordEndEntity(identity.id, held, auditLine({ event: 'end-entity.issued' }))
  return { identity, serial: held.certificate.serial }
}

/** A credential with one proxy that ends with it. */
const until = (notAfter: Date, endEntitySerial: string): Partial<CredentialRecord> => ({
  issuedAt: at(-50 * DAY_MS),
  notAfter,
  certificates: [
    certificate({ issuerSerial: endEntitySerial, notBefore: at(-50 * DAY_MS), notAfter }),
  ],
})

const withoutEndEntity = { certificates: [], endEntitySerial: undefined }
const newState = (): string => randomBytes(8).toString('hex')

async function allCredentials(store: Store): Promise<string[]> {
  const ids: string[] = []
  let from: RecordPlace | undefined
  do {
    const { ended, next } = await store.endedRecords.credentials(before, from)
    ids.push(...ended.map(({ credential }) => credential.id))
    from = next
  } while (from !== undefined)
  return ids
}

async function allEndEntities(store: Store): Promise<string[]> {
  const { ended, next } = await store.endedRecords.endEntities(before, undefined)
  expect(next).toBeUndefined()
  return ended.map((found) => found.certificate.serial)
}

describeStores('ended records', ({ newDatabase, open, query }) => {
  /** Of the cases that look at one record each. */
  let shared: StoreSettings
  beforeAll(async () => {
    shared = await newDatabase()
  })

  test.for<{
    readonly name: string
    readonly ends?: number
    readonly endEntityEnds?: number
    readonly overrides?: () => Partial<CredentialRecord>
    readonly afterwards?: (store: Store, made: CredentialRecord) => Promise<unknown>
    readonly moves: boolean
  }>([
    { name: 'it ended a millisecond before', ends: -1, moves: true },
    { name: 'it ended at that time', ends: 0, moves: false },
    { name: 'it ended a millisecond later', ends: 1, moves: false },
    { name: 'its EEC ended a millisecond before', endEntityEnds: -1, moves: true },
    { name: 'its EEC ended at that time', endEntityEnds: 0, moves: false },
    { name: 'its EEC lives', endEntityEnds: 500 * DAY_MS, moves: false },
    {
      name: 'a certificate of it ends later than it says',
      overrides: () => ({ certificates: [certificate({ notAfter: at(1) })] }),
      moves: false,
    },
    { name: 'it has no end', overrides: () => ({ notAfter: undefined }), moves: false },
    {
      name: 'its EEC is revoked',
      afterwards: (store, { id }) =>
        store.revoke({ credentialId: id, reason: 'keyCompromise', at: at(-2), origin }),
      moves: true,
    },
    {
      name: 'its owner took it off the list',
      afterwards: (store, { id, identityId }) => store.forgetCredential(id, identityId, at(-2)),
      moves: true,
    },
    {
      name: 'a delegation renewed it',
      overrides: () => ({ delegationId: 'd-1', renewedFrom: 'c-1', firstIssuedAt: at(-9) }),
      moves: true,
    },
    { name: 'a plugin made it and said no state', overrides: () => withoutEndEntity, moves: true },
    { name: 'it holds no certificate', ends: 0, overrides: () => withoutEndEntity, moves: false },
    {
      name: 'its plugin may still revoke it',
      overrides: () => ({ ...withoutEndEntity, pluginState: newState() }),
      moves: false,
    },
    {
      name: 'its plugin has revoked it',
      overrides: () => ({ ...withoutEndEntity, pluginState: newState() }),
      afterwards: (store, { id }) =>
        store.revoke({ credentialId: id, reason: 'unspecified', at: at(-2), origin }),
      moves: true,
    },
    {
      name: 'it is an SSH certificate, whose state is its serial number',
      overrides: () => ({ ...withoutEndEntity, pluginState: newState(), sshSerial: '7' }),
      moves: true,
    },
  ])('a credential: $name (moves: $moves)', async (testCase) => {
    const { ends = -1, endEntityEnds = -1, overrides, afterwards, moves } = testCase
    const store = await open(shared)
    const { identity, serial } = await endEntityUntil(store, at(endEntityEnds))
    const made = await newCredential(store, identity, serial, {
      ...until(at(ends), serial),
      ...overrides?.(),
    })
    await afterwards?.(store, made)
    expect((await allCredentials(store)).includes(made.id)).toBe(moves)
  })

  test.for<{
    readonly name: string
    readonly ends: number
    readonly named?: boolean
    readonly moves: boolean
  }>([
    { name: 'it ended a millisecond before', ends: -1, moves: true },
    { name: 'it ended at that time', ends: 0, moves: false },
    { name: 'a credential names it', ends: -1, named: true, moves: false },
  ])('an EEC: $name (moves: $moves)', async ({ ends, named = false, moves }) => {
    const store = await open(shared)
    const { identity, serial } = await endEntityUntil(store, at(ends))
    if (named) await newCredential(store, identity, serial, until(at(-1), serial))
    expect((await allEndEntities(store)).includes(serial)).toBe(moves)
  })

  test('the certificate of an EEC stays while another credential names it', async () => {
    const store = await open(await newDatabase())
    const identity = await newIdentity(store)
    const own = certificate({ kind: 'eec', notBefore: at(-DAY_MS), notAfter: at(-1) })
    const made = { ...until(at(-1), ''), certificates: [own] }
    const first = await newCredential(store, identity, own.serial, made)
    const stays = await newCredential(store, identity, own.serial, { certificates: [] })
    expect(await allCredentials(store)).toEqual([first.id])
    await store.endedRecords.removeCredentials([first.id])
    expect(await allEndEntities(store)).toEqual([])
    expect(await store.findIssuedEndEntity(own.serial)).toBeDefined()
    await store.endedRecords.removeCredentials([stays.id])
    expect(await allEndEntities(store)).toEqual([own.serial])
  })

  test('pages are found one after the other, also when what is found is removed meanwhile', async () => {
    const store = await open(await newDatabase())
    const { identity, serial } = await endEntityUntil(store, at(-1))
    const stays: string[] = []
    const moves: string[] = []
    for (let index = 0; index < 450; index += 1) {
      const isOver = index % 3 !== 0
      const { id } = await newCredential(
        store,
        identity,
        serial,
        until(at(isOver ? -1 - index : DAY_MS), serial),
      )
      ;(isOver ? moves : stays).push(id)
    }
    let from: RecordPlace | undefined
    const moved: string[] = []
    do {
      const { ended, next } = await store.endedRecords.credentials(before, from)
      const ids = ended.map(({ credential }) => credential.id)
      if (ids.length > 0) await store.endedRecords.removeCredentials(ids)
      moved.push(...ids)
      from = next
    } while (from !== undefined)
    expect(moved.toSorted()).toEqual(moves.toSorted())
    const left = await store.listCredentials({ limit: 1000 })
    expect(left.map(({ id }) => id).toSorted()).toEqual(stays.toSorted())
    expect(left.every(({ certificates }) => certificates.length === 1)).toBe(true)
    // The EEC is still named by those that stay.
    await expect(store.endedRecords.removeEndEntities([serial])).rejects.toThrow()
    expect(await store.findIssuedEndEntity(serial)).toBeDefined()
  })

  test('what is removed leaves nothing behind but identity, audit trail and the number of revocations', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    const old = await endEntityUntil(store, at(-1))
    const gone = await newCredential(store, old.identity, old.serial, until(at(-1), old.serial))
    const ssh = await newCredential(store, old.identity, old.serial, {
      ...until(at(-1), ''),
      ...withoutEndEntity,
      sshSerial: '7',
    })
    for (const { id } of [gone, ssh])
      await store.revoke({ credentialId: id, reason: 'keyCompromise', at: at(-2), origin })
    const live = await endEntityUntil(store, new Date(NOW.getTime() + DAY_MS))
    const stays = await newCredential(store, live.identity, live.serial)
    const audit = await store.listAudit({ limit: 1000 })
    await store.endedRecords.removeCredentials(await allCredentials(store))
    await store.endedRecords.removeEndEntities(await allEndEntities(store))
    const rows = async (table: string): Promise<number> =>
      (await query(settings, `select * from ${table}`)).length
    expect({
      credentials: await rows('credentials'),
      certificates: await rows('certificates'),
      revocations: await rows('revocations'),
      keys: await rows('end_entity_keys'),
      identities: await rows('identities'),
    }).toEqual({ credentials: 1, certificates: 2, revocations: 0, keys: 1, identities: 2 })
    expect(await store.findCredential(gone.id)).toBeUndefined()
    expect(await store.findCredentialByCertificate(gone.certificates[0]!.serial)).toBeUndefined()
    expect(await store.findIssuedEndEntity(old.serial)).toBeUndefined()
    expect(await store.listAudit({ limit: 1000 })).toEqual(audit)
    expect((await store.listCredentials({ activeAt: NOW })).map(({ id }) => id)).toEqual([stays.id])
    expect(await store.countCredentials(live.identity.id, NOW)).toEqual(new Map([['proxy', 1]]))
    // Each of both numbers decides whether a list is made again, so neither may fall.
    expect(await store.countRevocations()).toBe(1)
    expect(await store.countArchivedRevocations()).toBe(1)
    expect(await store.countRevokedSsh()).toBe(1)
    expect(await store.listRevocations({ from: at(-9), after: undefined, limit: 9 })).toEqual([])
    // The same again, as a second replica would: nothing is counted twice.
    await store.endedRecords.removeCredentials([gone.id, ssh.id])
    await store.endedRecords.removeEndEntities([old.serial])
    expect(await store.countRevocations()).toBe(1)
    expect(await store.countRevokedSsh()).toBe(1)
    await store.revoke({ credentialId: stays.id, reason: 'unspecified', at: NOW, origin })
    expect(await store.countRevocations()).toBe(2)
    // A restored database must not count fewer than the CRLs in it.
    const snapshot = await openSnapshot(settings)
    const restored = await newDatabase()
    const { schema, rows: all } = snapshot
    await restoreRows(restored, { schema, rows: all, besides: async () => async () => undefined })
    await snapshot.close()
    const [row] = (await query(restored, 'select * from archived_counts order by kind')) as object[]
    expect(row).toMatchObject({ kind: 'revocations' })
    expect(await query(restored, 'select serial from revocations')).toHaveLength(1)
    expect((await newIdentity(store, old.identity.sub)).subject).toBe(old.identity.subject)
  })
})

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { encodedSequence } from '../../ca/asn1.ts'
import { readCrlEntries } from '../../ca/crl-entries.ts'
import type { CrlRecord, RevokedCertificate } from '../../src/domain/records.ts'
import type { Store } from '../../src/domain/store.ts'
import { createRevocationList } from '../../src/domain/revocation/revocation-list.ts'
import { DAY_MS, describeStores, newCredential, newEndEntity, NOW, origin } from './support.ts'

const later = new Date(NOW.getTime() + 60_000)

/** INTEGERs of the CRL have as many leading zero octets as DER wants, random serial numbers of these tests any. */
const withoutZeros = (serial: string): string => serial.replace(/^(00)+/, '')

/** Stores the next CRL, whose DER says its number and what is on it; the loser of a race makes another. */
async function addNextCrl(store: Store, keepAfter = NOW): Promise<CrlRecord> {
  for (;;) {
    const number = (await store.latestCrlNumber()) + 1
    const read = await createRevocationList(store).read({ keepAfter, now: NOW })
    await sleep(2)
    const { revoked } = readCrlEntries(encodedSequence(read.entries))
    const serials = [...revoked.keys()].map(withoutZeros)
    const der = Buffer.from(JSON.stringify({ number, serials }))
    const nextUpdate = new Date(NOW.getTime() + DAY_MS)
    const crl = { number, thisUpdate: NOW, nextUpdate, der, revocations: read.revocations }
    if (await store.addCrl(crl)) return crl
  }
}

describeStores('revocations', ({ newDatabase, open, query }) => {
  test('revoking a credential revokes its EEC, all credentials under it and removes the held key', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    const { identity, serial } = await newEndEntity(store)
    const first = await newCredential(store, identity, serial)
    const second = await newCredential(store, identity, serial)
    const request = { credentialId: first.id, reason: 'keyCompromise', at: NOW, origin } as const
    const revocation = await store.revoke({ ...request, identityId: identity.id })
    expect(revocation).toMatchObject({
      credentialId: first.id,
      endEntitySerial: serial,
      newlyRevoked: true,
    })
    expect(revocation.affectedCredentialIds.toSorted()).toEqual([first.id, second.id].toSorted())
    for (const view of await store.listCredentials({})) {
      expect(view).toMatchObject({ revokedAt: NOW, revocationReason: 'keyCompromise' })
    }
    expect(await query(settings, 'select serial from end_entity_keys')).toEqual([])
    expect(await store.findHeldEndEntity(identity.id, NOW, 'rsa-2048')).toBeUndefined()
    expect(await store.listAudit({ limit: 1 })).toMatchObject([
      {
        event: 'credential.revoked',
        outcome: 'allowed',
        credentialId: first.id,
        detail: 'keyCompromise',
        origin,
      },
    ])
  })

  test('a second revocation changes nothing and keeps the first time and reason', async () => {
    const store = await open(await newDatabase())
    const { identity, serial } = await newEndEntity(store)
    const made = await newCredential(store, identity, serial)
    const request = { credentialId: made.id, at: NOW, origin }
    await store.revoke({ ...request, reason: 'superseded' })
    const lines = await store.listAudit({})
    const again = await store.revoke({ ...request, reason: 'keyCompromise', at: later })
    expect(again).toMatchObject({ newlyRevoked: false, affectedCredentialIds: [made.id] })
    expect(await store.findCredential(made.id)).toMatchObject({
      revokedAt: NOW,
      revocationReason: 'superseded',
    })
    expect(await store.countRevocations()).toBe(1)
    expect(await store.listAudit({})).toEqual(lines)
  })

  test('of many at once exactly one is the revocation', async () => {
    const settings = await newDatabase()
    const stores = [await open(settings), await open(settings)]
    const { identity, serial } = await newEndEntity(stores[0]!)
    const made = await newCredential(stores[0]!, identity, serial)
    const done = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        stores[index % 2]!.revoke({ credentialId: made.id, reason: 'superseded', at: NOW, origin }),
      ),
    )
    expect(done.filter((revocation) => revocation.newlyRevoked)).toHaveLength(1)
  })

  test('a credential of another identity, or none, is not found, in the same words', async () => {
    const store = await open(await newDatabase())
    const { identity, serial } = await newEndEntity(store)
    const made = await newCredential(store, identity, serial)
    const common = { reason: 'unspecified', at: NOW, origin, identityId: randomUUID() } as const
    const foreign = store.revoke({ ...common, credentialId: made.id })
    const missing = store.revoke({ ...common, credentialId: randomUUID() })
    await expect(foreign).rejects.toMatchObject({
      code: 'not_found',
      message: 'credential not found',
    })
    await expect(missing).rejects.toMatchObject({
      code: 'not_found',
      message: 'credential not found',
    })
    expect(await store.countRevocations()).toBe(0)
  })

  test('a CRL carries what was revoked before it, as long as that has not ended', async () => {
    const store = await open(await newDatabase())
    expect(await store.latestCrl()).toBeUndefined()
    const { identity, serial } = await newEndEntity(store)
    const made = await newCredential(store, identity, serial)
    await store.revoke({ credentialId: made.id, reason: 'affiliationChanged', at: later, origin })
    const [row] = await store.listRevocations({ from: NOW, after: undefined, limit: 10 })
    expect(row).toMatchObject({ serial, revokedAt: later, reason: 'affiliationChanged' })
    const crl = await addNextCrl(store)
    expect(JSON.parse(crl.der.toString())).toEqual({ number: 1, serials: [withoutZeros(serial)] })
    expect(crl).toMatchObject({ number: 1, revocations: 1 })
    expect(await store.latestCrl()).toEqual(crl)
    const next = await addNextCrl(store, new Date(NOW.getTime() + 30 * DAY_MS))
    expect(JSON.parse(next.der.toString())).toEqual({ number: 2, serials: [] })
    expect(next.revocations).toBe(1)
  })

  test('two stores at once never make two CRLs of one number, and records go on meanwhile', async () => {
    const settings = await newDatabase()
    const stores = [await open(settings), await open(settings)]
    const { identity, serial } = await newEndEntity(stores[0]!)
    const crls = Array.from({ length: 12 }, (_, index) => addNextCrl(stores[index % 2]!))
    const records = Array.from({ length: 40 }, async (_, index) => {
      await sleep(index % 10)
      return await newCredential(stores[index % 2]!, identity, serial)
    })
    const made = await Promise.all(crls)
    await Promise.all(records)
    expect(made.map((crl) => crl.number).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 12 }, (_, n) => n + 1),
    )
    for (const crl of made)
      expect(JSON.parse(crl.der.toString())).toMatchObject({ number: crl.number })
    expect((await stores[0]!.latestCrl())?.number).toBe(12)
    expect(await stores[1]!.listCredentials({})).toHaveLength(40)
  })

  test('revocations during CRLs: the last CRL after them carries them all', async () => {
    const settings = await newDatabase()
    const [left, right] = [await open(settings), await open(settings)]
    const serials: string[] = []
    const revocations = Array.from({ length: 6 }, async () => {
      const { identity, serial } = await newEndEntity(left)
      const made = await newCredential(left, identity, serial)
      await left.revoke({ credentialId: made.id, reason: 'superseded', at: NOW, origin })
      serials.push(serial)
      // Whatever revocation has been answered is on the next CRL.
      const known = serials.map(withoutZeros)
      const crl = await addNextCrl(right)
      const { serials: carried } = JSON.parse(crl.der.toString()) as { serials: string[] }
      expect(carried).toEqual(expect.arrayContaining(known))
      expect(crl.revocations).toBeLessThanOrEqual(carried.length)
    })
    await Promise.all(revocations)
    expect(await left.countRevocations()).toBe(6)
  })

  test('only the number after the newest is stored', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    expect(await store.latestCrlNumber()).toBe(0)
    const crl = await addNextCrl(store)
    for (const number of [0, 1, 3]) expect(await store.addCrl({ ...crl, number })).toBe(false)
    expect(await query(settings, 'select number from crls')).toHaveLength(1)
  })

  test('revocations are listed in pages, also those of one moment', async () => {
    const store = await open(await newDatabase())
    const serials: string[] = []
    for (const at of [later, NOW, NOW, later, NOW]) {
      const { identity, serial } = await newEndEntity(store)
      const made = await newCredential(store, identity, serial)
      await store.revoke({ credentialId: made.id, reason: 'superseded', at, origin })
      serials.push(serial)
    }
    const read: RevokedCertificate[] = []
    for (;;) {
      const page = await store.listRevocations({ from: NOW, after: read.at(-1), limit: 2 })
      if (page.length === 0) break
      for (const row of page) read.push(row)
    }
    expect(read.map(({ serial }) => serial).toSorted()).toEqual(serials.toSorted())
    const dates = read.map(({ revokedAt }) => revokedAt.getTime())
    expect(dates).toEqual(dates.toSorted((a, b) => a - b))
  })
})

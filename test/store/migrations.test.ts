import { expect, test } from 'vitest'
import { heldToken, makeDelegation } from './delegation-support.ts'
import {
  auditLine,
  describeStores,
  newCredential,
  newEndEntity,
  newMasterKeys,
  NOW,
} from './support.ts'

/** What the schema of version 0.1 did not have, taken away again. */
const backTo0001 = [
  'drop table web_sessions',
  'drop table delegation_events',
  'drop table delegations',
  'drop table used_proofs',
  'alter table credentials drop column delegation_id',
  'alter table credentials drop column renewed_from',
  'alter table credentials drop column first_issued_at',
  `delete from kysely_migration where name <> '0001_records'`,
]

describeStores('a database of the version before', ({ newDatabase, open, query }) => {
  test('keeps what is in it, and takes delegations', async () => {
    const settings = await newDatabase()
    const masterKeys = newMasterKeys()
    const before = await open(settings, masterKeys)
    const { identity, serial, held } = await newEndEntity(before)
    const made = await newCredential(before, identity, serial)
    await before.recordAudit(auditLine({ detail: 'before' }))
    await before.close()
    for (const statement of backTo0001) await query(settings, statement)

    // Two start at once on it, as replicas do.
    const [store, other] = await Promise.all([
      open(settings, masterKeys),
      open(settings, masterKeys),
    ])
    expect(await query(settings, 'select name from kysely_migration order by name')).toEqual([
      { name: '0001_records' },
      { name: '0002_delegations' },
      { name: '0004_web_sessions' },
    ])
    expect(await store.findCredential(made.id)).toMatchObject({
      id: made.id,
      identity,
      certificates: made.certificates,
      delegationId: undefined,
      renewedFrom: undefined,
      firstIssuedAt: undefined,
    })
    expect(await other.findHeldEndEntity(identity.id, NOW, 'rsa-2048')).toEqual(held)
    expect((await store.listAudit({})).map(({ detail }) => detail)).toContain('before')

    const token = heldToken()
    const delegation = await makeDelegation(store, identity, { held: token })
    const renewed = await newCredential(store, identity, serial, {
      delegationId: delegation.id,
      renewedFrom: made.id,
      firstIssuedAt: NOW,
    })
    expect(await other.findCredential(renewed.id)).toMatchObject({
      delegationId: delegation.id,
      renewedFrom: made.id,
      firstIssuedAt: NOW,
    })
    expect(await other.findCredentialByCertificate(renewed.certificates[0]!.serial)).toMatchObject({
      id: renewed.id,
    })
    expect(await other.findCredentialByCertificate(serial)).toBeUndefined()
  })
})

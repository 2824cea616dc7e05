import { Migrator, sql } from 'kysely'
import { expect, test } from 'vitest'
import type { StoreSettings } from '../../../src/config/store-schema.ts'
import type { MasterKeys } from '../../../src/store/encryption/master-keys.ts'
import { schemaMigrations } from '../../../src/store/schema/migrations.ts'
import { openPostgres } from '../../../src/store/postgres/postgres.ts'
import { auditRow, certificateRow } from '../../../src/store/schema/rows.ts'
import { sealKey } from '../../../src/store/encryption/sealed-key.ts'
import { openSqlite } from '../../../src/store/sqlite/sqlite.ts'
import { heldToken, makeDelegation } from '../delegation-support.ts'
import {
  auditLine,
  certificate,
  DAY_MS,
  describeStores,
  heldEndEntity,
  newCredential,
  newMasterKeys,
  NOW,
  origin,
} from '../support.ts'

const oldCrl = (number: number): Buffer => Buffer.alloc(2_000_000, number)

/** A database as version 0.1 made it, with an identity, its held EEC and one proxy. */
async function oldDatabase(settings: StoreSettings, masterKeys: MasterKeys) {
  const { url, path } = settings
  const database =
    url === undefined
      ? await openSqlite(path, 5000)
      : openPostgres({ url, poolSize: 2, timeoutMs: 5000 })
  const { writes, kind } = database
  const getMigrations = () => Promise.resolve(schemaMigrations(kind))
  const { error } = await new Migrator({ db: writes, provider: { getMigrations } }).migrateTo(
    '0001_records',
  )
  expect(error).toBeUndefined()
  const held = heldEndEntity()
  const { serial } = held.certificate
  const proxy = certificate({ issuerSerial: serial })
  const identity = { id: 'i-1', issuer: 'https://iam.example/', sub: 'alice', subject: '/CN=alice' }
  const row = { ...identity, comparable: '/cn=alice', created_at: NOW.getTime() }
  await writes.insertInto('identities').values(row).execute()
  const owner = { identityId: 'i-1', credentialId: undefined, position: 0 }
  const rows = [
    certificateRow(held.certificate, owner),
    certificateRow(proxy, { ...owner, credentialId: 'c-1' }),
  ]
  await writes.insertInto('certificates').values(rows).execute()
  const key = sealKey(masterKeys, { serial, identityId: 'i-1' }, held.privateKeyDer)
  await writes
    .insertInto('end_entity_keys')
    .values({
      serial,
      identity_id: 'i-1',
      key_kind: 'rsa-2048',
      not_after: held.certificate.notAfter.getTime(),
      certificate_der: held.certificateDer,
      master_key_id: key.masterKeyId,
      sealed_key: key.sealed,
    })
    .execute()
  const credential = {
    id: 'c-1',
    identity_id: 'i-1',
    service_id: 'proxy',
    end_entity_serial: serial,
    issued_at: NOW.getTime(),
    not_after: NOW.getTime() + DAY_MS,
    client_id: 'client-1',
    request_id: origin.requestId,
    address: origin.address,
    interface: origin.interface,
  }
  await writes.insertInto('credentials').values(credential).execute()
  const line = auditLine({ detail: 'before' })
  await writes.insertInto('audit').values(auditRow(line)).execute()
  const nextUpdate = NOW.getTime() + DAY_MS
  // Tables of that version, which the types of today do not know.
  const crlOf = (number: number) =>
    sql`insert into crls values (${number}, ${NOW.getTime()}, ${nextUpdate}, ${oldCrl(number)}, 3)`
  await crlOf(8).execute(writes)
  await crlOf(9).execute(writes)
  await database.destroy()
  return { identity, held, proxy }
}

describeStores('a database of version 0.1', ({ kind, newDatabase, open, query }) => {
  test('keeps what is in it, and takes what is new', async () => {
    const settings = await newDatabase()
    const masterKeys = newMasterKeys()
    const { identity, held, proxy } = await oldDatabase(settings, masterKeys)
    const { serial } = held.certificate

    // Two start at once on it, as replicas do.
    const [store, other] = await Promise.all([
      open(settings, masterKeys),
      open(settings, masterKeys),
    ])
    const done = (await query(settings, 'select name from kysely_migration order by name')) as {
      readonly name: string
    }[]
    expect(done.map(({ name }) => name)).toEqual(Object.keys(schemaMigrations(kind)).sort())
    const found = await store.findCredential('c-1')
    expect(found).toMatchObject({
      id: 'c-1',
      identity,
      certificates: [proxy],
      endEntitySerial: serial,
      clientId: 'client-1',
      origin,
      delegationId: undefined,
      renewedFrom: undefined,
      firstIssuedAt: undefined,
      revokedAt: undefined,
    })
    expect(await other.findHeldEndEntity('i-1', NOW, 'rsa-2048')).toEqual(held)
    expect((await store.listAudit({})).map(({ detail }) => detail)).toEqual(['before'])
    expect(await other.findCredentialByCertificate(proxy.serial)).toMatchObject({ id: 'c-1' })
    expect(await other.findCredentialByCertificate(serial)).toBeUndefined()

    const crl = await other.latestCrl()
    expect(crl?.der.equals(oldCrl(9))).toBe(true)
    expect(crl).toMatchObject({ number: 9, thisUpdate: NOW, revocations: 3 })
    expect(await store.addCrl({ ...crl!, number: 10, der: Buffer.of(1) })).toBe(true)
    expect((await other.latestCrl())?.der).toEqual(Buffer.of(1))

    const delegation = await makeDelegation(store, found!.identity, { held: heldToken() })
    const renewed = await newCredential(store, found!.identity, serial, {
      delegationId: delegation.id,
      renewedFrom: 'c-1',
      firstIssuedAt: NOW,
    })
    expect(await other.findCredential(renewed.id)).toMatchObject({
      delegationId: delegation.id,
      renewedFrom: 'c-1',
      firstIssuedAt: NOW,
    })
    const request = { credentialId: 'c-1', reason: 'superseded', at: NOW, origin } as const
    expect(await store.revoke(request)).toMatchObject({ endEntitySerial: serial })
  })
})

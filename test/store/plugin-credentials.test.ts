/**
 * Credentials that stand on no EEC: of plugins and SSH certificates; limits, states, forgetting; and answers to pick
 * up.
 */
import { createHash, randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import type { CredentialRecord } from '../../src/domain/records.ts'
import {
  auditLine,
  credential,
  DAY_MS,
  describeStores,
  newCredential,
  newEndEntity,
  newIdentity,
  newMasterKeys,
  NOW,
  origin,
} from './support.ts'

const at = (offsetMs: number): Date => new Date(NOW.getTime() + offsetMs)
const alone: Partial<CredentialRecord> = {
  certificates: [],
  endEntitySerial: undefined,
  notAfter: undefined,
  serviceId: 'guest',
}
const digest = (text: string): string => createHash('sha256').update(text).digest('hex')
const revocation = { reason: 'unspecified', at: NOW, origin } as const

describeStores('credentials of plugins', ({ newDatabase, open, query }) => {
  test('one without certificate and end is shown as it was recorded, and revoked alone', async () => {
    const store = await open(await newDatabase())
    const { identity, serial } = await newEndEntity(store)
    const proxy = await newCredential(store, identity, serial)
    const made = await newCredential(store, identity, serial, { ...alone, pluginState: 's-1' })
    const view = await store.findCredential(made.id)
    expect(view).toMatchObject({ id: made.id, pluginState: 's-1', certificates: [] })
    expect(view?.notAfter).toBeUndefined()
    expect(view?.endEntitySerial).toBeUndefined()
    // It lives until it is revoked.
    const active = { activeAt: at(9999 * DAY_MS) }
    expect((await store.listCredentials(active)).map(({ id }) => id)).toEqual([made.id])

    const asked = { ...revocation, reason: 'superseded', credentialId: made.id } as const
    expect(await store.revoke({ ...asked, identityId: randomUUID() }).catch(codeOf)).toBe(
      'not_found',
    )
    expect(await store.revoke(asked)).toEqual({
      credentialId: made.id,
      endEntitySerial: undefined,
      affectedCredentialIds: [made.id],
      newlyRevoked: true,
    })
    expect(await store.revoke({ ...asked, at: at(5) })).toMatchObject({ newlyRevoked: false })
    expect(await store.findCredential(made.id)).toMatchObject({
      revokedAt: NOW,
      revocationReason: 'superseded',
    })
    expect((await store.findCredential(proxy.id))?.revokedAt).toBeUndefined()
    expect(await store.countRevocations()).toBe(0)
    const events = (await store.listAudit({})).filter(({ event }) => event === 'credential.revoked')
    expect(events).toMatchObject([{ credentialId: made.id, detail: 'superseded' }])
  })

  test('a state is there once for each identity and service, until it is revoked', async () => {
    const store = await open(await newDatabase())
    const { identity } = await newEndEntity(store)
    // Longer than any index takes.
    const long = { ...alone, pluginState: 'z'.repeat(16_384) }
    const first = await newCredential(store, identity, '', long)
    const again = credential(identity, '', long)
    const bystander = credential(identity, '', { ...alone, pluginState: 'other' })
    const results = await Promise.allSettled([
      store.recordCredential(again, auditLine()),
      store.recordCredential(bystander, auditLine()),
    ])
    expect(results).toMatchObject([
      { status: 'rejected', reason: { code: 'conflict', check: 'duplicate_record' } },
      { status: 'fulfilled' },
    ])
    const key = { identityId: identity.id, serviceId: 'guest', state: long.pluginState }
    expect((await store.findCredentialByState(key))?.id).toBe(first.id)
    expect(await store.findCredentialByState({ ...key, serviceId: 'x' })).toBeUndefined()
    await newCredential(store, identity, '', { ...long, serviceId: 'other' })
    await newCredential(store, await newIdentity(store), '', long)
    await store.revoke({ ...revocation, credentialId: first.id })
    expect(await store.findCredentialByState(key)).toBeUndefined()
    await store.recordCredential(again, auditLine())
  })

  test('those count that live, are listed and not revoked', async () => {
    const store = await open(await newDatabase())
    const { identity, serial } = await newEndEntity(store)
    const guest = await newCredential(store, identity, '', { ...alone, pluginState: '1' })
    const gone = await newCredential(store, identity, '', { ...alone, pluginState: '2' })
    const forgotten = await newCredential(store, identity, '', { ...alone, pluginState: '3' })
    await newCredential(store, identity, serial)
    await newCredential(store, identity, serial, { notAfter: at(1) })
    await newCredential(store, await newIdentity(store), '', alone)
    await store.revoke({ ...revocation, credentialId: gone.id })
    expect(await store.forgetCredential(forgotten.id, randomUUID(), NOW)).toBe(false)
    expect(await store.forgetCredential(forgotten.id, identity.id, NOW)).toBe(true)
    expect(await store.forgetCredential(forgotten.id, identity.id, NOW)).toBe(false)

    const counts = await store.countCredentials(identity.id, at(2))
    expect(Object.fromEntries(counts)).toEqual({ guest: 1, proxy: 1 })
    const listed = await store.listCredentials({
      listed: true,
      activeAt: at(2),
      serviceId: 'guest',
    })
    expect(listed.map(({ id }) => id).includes(guest.id)).toBe(true)
    expect(listed.map(({ id }) => id)).not.toContain(forgotten.id)
    // It is off the list, not off the records.
    expect((await store.findCredential(forgotten.id))?.revokedAt).toBeUndefined()
    await store.revoke({
      ...revocation,
      credentialId: (await newCredential(store, identity, serial)).id,
    })
    expect((await store.countCredentials(identity.id, at(2))).get('proxy')).toBeUndefined()
  })

  test('of many revoked SSH certificates with few different ends, each is listed once', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    const { identity } = await newEndEntity(store)
    const first = await newCredential(store, identity, '', {
      ...alone,
      sshSerial: '1',
      notAfter: at(DAY_MS),
    })
    await store.revoke({ ...revocation, credentialId: first.id })
    const columns = 'identity_id, service_id, issued_at, request_id, address, interface, revoked_at'
    const numbers = `with recursive n(i) as (select 2 union all select i + 1 from n where i < 25000)`
    await query(
      settings,
      `insert into credentials (id, ssh_serial, not_after, ${columns})
       ${numbers} select 'c-' || i, cast(i as text), ${at(DAY_MS).getTime()} + i % 3, ${columns}
       from n join credentials on credentials.ssh_serial = '1'`,
    )
    expect(await store.countRevokedSsh()).toBe(25_000)
    const serials = await store.revokedSshSerials(NOW)
    expect(serials).toHaveLength(25_000)
    expect(new Set(serials).size).toBe(25_000)
    expect(await store.revokedSshSerials(at(2 * DAY_MS))).toEqual([])
  })

  test('revoked SSH certificates are known until they end', async () => {
    const store = await open(await newDatabase())
    const { identity } = await newEndEntity(store)
    const most = (2n ** 64n - 1n).toString()
    const ssh = (sshSerial: string, endsMs: number) =>
      newCredential(store, identity, '', { ...alone, sshSerial, notAfter: at(endsMs) })
    const [long, short] = [await ssh(most, DAY_MS), await ssh('7', 1000)]
    await ssh('8', DAY_MS)
    for (const { id } of [long, short]) await store.revoke({ ...revocation, credentialId: id })
    expect(new Set(await store.revokedSshSerials(NOW))).toEqual(new Set([7n, 2n ** 64n - 1n]))
    expect(await store.revokedSshSerials(at(1000))).toEqual([2n ** 64n - 1n])
    expect((await store.findCredential(long.id))?.sshSerial).toBe(most)
  })

  test('work of one name is done by one at a time', async () => {
    const settings = await newDatabase()
    const masterKeys = newMasterKeys()
    const store = await open(settings, masterKeys)
    // Over all replicas where there are some; SQLite is for one process.
    const other = settings.url === undefined ? store : await open(settings, masterKeys)
    let inside = 0
    const work = async (): Promise<number> => {
      inside += 1
      await new Promise((resolve) => setTimeout(resolve, 5))
      const seen = inside
      inside -= 1
      return seen
    }
    const seen = await Promise.all(
      [store, other, store, other].map((each) => each.exclusively('n', work, 5000)),
    )
    expect(seen).toEqual([1, 1, 1, 1])
    let finish = (): void => undefined
    let long: Promise<void> | undefined
    await new Promise<void>((begun) => {
      long = store.exclusively(
        'n',
        () => {
          begun()
          return new Promise<void>((end) => (finish = end))
        },
        5000,
      )
    })
    await expect(other.exclusively('n', work, 10)).rejects.toMatchObject({
      code: 'overloaded',
      check: 'busy',
    })
    expect(await other.exclusively('m', work, 10)).toBe(1)
    finish()
    await long
    await expect(
      store.exclusively('n', () => Promise.reject(new Error('its own')), 10),
    ).rejects.toThrow('its own')
  })

  test('an answer is picked up once, in time, by whom it is for, and lies encrypted until then', async () => {
    const settings = await newDatabase()
    const masterKeys = newMasterKeys()
    const store = await open(settings, masterKeys)
    const other = await open(settings, masterKeys)
    const pickup = { idDigest: digest('id'), ownerDigest: digest('alice') }
    const content = JSON.stringify({ key: 'the-private-key', text: 'ö'.repeat(10_000) })
    await store.pickups.keep(pickup, content, at(1000))
    expect(JSON.stringify(await query(settings, 'select * from pickups'))).not.toContain('private')

    const take = (owner: string, when: Date) =>
      other.pickups.take({ ...pickup, ownerDigest: digest(owner) }, when)
    expect(await take('mallory', NOW)).toBeUndefined()
    expect(await take('alice', at(1000))).toBeUndefined()
    const both = await Promise.all([take('alice', NOW), store.pickups.take(pickup, NOW)])
    expect(both.filter((answer) => answer !== undefined)).toEqual([content])
    expect(await query(settings, 'select * from pickups')).toEqual([])
  })

  test('answers that arrive together are all kept, each for its own address', async () => {
    const store = await open(await newDatabase())
    const names = Array.from({ length: 100 }, (_, index) => `answer ${index}`)
    const pickup = (name: string) => ({ idDigest: digest(name), ownerDigest: digest('alice') })
    await Promise.all(names.map((name) => store.pickups.keep(pickup(name), name, at(1000))))
    const taken = await Promise.all(names.map((name) => store.pickups.take(pickup(name), NOW)))
    expect(taken).toEqual(names)
  })

  test('what nobody picked up goes with the next one, and with upkeep', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    const keep = (name: string, until: Date) =>
      store.pickups.keep({ idDigest: digest(name), ownerDigest: digest('a') }, name, until)
    await keep('old', at(-1))
    await keep('new', at(1))
    const left = async () => (await query(settings, 'select * from pickups')).length
    expect(await left()).toBe(1)
    await store.prune(at(1), NOW)
    expect(await left()).toBe(0)
  })
})

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown }).code
}

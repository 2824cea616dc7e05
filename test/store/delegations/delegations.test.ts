import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Store } from '../../../src/domain/store.ts'
import { parseMasterKeys } from '../../../src/store/encryption/master-keys.ts'
import { heldToken, ledgerEntry, makeDelegation, newDelegation } from '../delegation-support.ts'
import {
  DAY_MS,
  describeStores,
  newEndEntity,
  newIdentity,
  newMasterKeys,
  NOW,
  origin,
} from '../support.ts'

const days = (count: number): Date => new Date(NOW.getTime() + count * DAY_MS)
const load = (store: Store, id: string) =>
  store.delegations.withRefreshToken(id, (locked) => locked.load(), 1000)

describeStores('delegations', ({ newDatabase, open, query }) => {
  test('what is made is there, with its refresh token, after opening again', async () => {
    const settings = await newDatabase()
    const masterKeys = newMasterKeys()
    const first = await open(settings, masterKeys)
    const identity = await newIdentity(first)
    const held = heldToken({ previous: 'older', rotates: true, attemptBegunAt: days(1) })
    const made = await makeDelegation(first, identity, { held, label: 'a "label"\0\n' })
    await first.close()
    const store = await open(settings, masterKeys)
    const { identityId: _, held: __, ...fields } = made
    expect(await store.delegations.find(made.id)).toEqual({
      ...fields,
      identity,
      state: 'active',
      lastUsedAt: undefined,
      rotates: true,
      endedAt: undefined,
      endReason: undefined,
    })
    expect(await load(store, made.id)).toEqual(held)
    expect(await store.delegations.events(made.id, 10)).toEqual([
      { at: NOW, event: 'made', outcome: 'allowed', origin, detail: undefined },
    ])
    expect(await store.listAudit({})).toEqual([
      expect.objectContaining({ event: 'delegation.made' }),
    ])
  })

  test('the refresh token is nowhere in the database in clear', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    const identity = await newIdentity(store)
    const held = heldToken({ previous: 'the-one-before' })
    const made = await makeDelegation(store, identity, { held })
    const rows = (await query(settings, 'select * from delegations')) as Record<string, unknown>[]
    const bytes = rows.map(({ sealed_custody: sealed }) => Buffer.from(sealed as Uint8Array))
    const all = JSON.stringify(rows) + bytes.map((part) => part.toString('latin1')).join('')
    expect(all).toContain(made.secretHash)
    expect(all).not.toContain(held.current)
    expect(all).not.toContain('the-one-before')
  })

  test("somebody else's is not found, and not listed", async () => {
    const store = await open(await newDatabase())
    const [alice, bob] = [await newIdentity(store, 'alice'), await newIdentity(store, 'bob')]
    const made = await makeDelegation(store, alice)
    expect(await store.delegations.find(made.id, alice.id)).toMatchObject({ id: made.id })
    expect(await store.delegations.find(made.id, bob.id)).toBeUndefined()
    expect(await store.delegations.list({ identityId: bob.id })).toEqual([])
    expect(await store.delegations.find('no-such-id')).toBeUndefined()
  })

  test('the list is newest first, page by page, by state', async () => {
    const store = await open(await newDatabase())
    const identity = await newIdentity(store)
    const made: string[] = []
    for (let day = 0; day < 5; day += 1)
      made.unshift((await makeDelegation(store, identity, { createdAt: days(day) })).id)
    const ids = async (filter: Parameters<typeof store.delegations.list>[0]) =>
      (await store.delegations.list(filter)).map(({ id }) => id)
    expect(await ids({})).toEqual(made)
    const page = await ids({ limit: 2 })
    expect([...page, ...(await ids({ limit: 3, after: page[1]! }))]).toEqual(made)
    await store.delegations.end(made[0]!, {
      state: 'revoked',
      at: NOW,
      reason: 'test',
      entry: ledgerEntry('revoked'),
    })
    expect(await ids({ state: 'active' })).toEqual(made.slice(1))
    expect(await ids({ state: 'revoked' })).toEqual(made.slice(0, 1))
    await expect(ids({ after: 'nothing' })).rejects.toMatchObject({ code: 'invalid_request' })
    await expect(ids({ limit: 0 })).rejects.toMatchObject({ code: 'invalid_request' })
  })

  test('an identity has no more active ones than it may, also when they come at once', async () => {
    const settings = await newDatabase()
    const masterKeys = newMasterKeys()
    const stores = [await open(settings, masterKeys), await open(settings, masterKeys)]
    const identity = await newIdentity(stores[0]!)
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, (_, index) =>
        stores[index % 2]!.delegations.create(newDelegation(identity), ledgerEntry('made'), 3),
      ),
    )
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected')
        expect(outcome.reason).toMatchObject({
          code: 'conflict',
          check: 'delegations_per_identity',
        })
    }
    // One that is over makes room for another.
    const [one] = await stores[0]!.delegations.list({})
    await stores[0]!.delegations.end(one!.id, {
      state: 'ended',
      at: NOW,
      reason: 'over',
      entry: ledgerEntry('ended'),
    })
    await stores[1]!.delegations.create(newDelegation(identity), ledgerEntry('made'), 3)
  })

  test('a rotated token replaces the old one, and the forecast and the ledger go with it', async () => {
    const store = await open(await newDatabase())
    const made = await makeDelegation(store, await newIdentity(store))
    const newer = heldToken({ previous: made.held.current, rotates: true, renewedAt: days(1) })
    const entry = ledgerEntry('rotated', { at: days(1) })
    const kept = await store.delegations.withRefreshToken(
      made.id,
      (locked) => locked.save(newer, { renewsUntil: days(31), entry }),
      1000,
    )
    expect(kept).toBe(true)
    expect(await load(store, made.id)).toEqual(newer)
    expect(await store.delegations.find(made.id)).toMatchObject({ renewsUntil: days(31) })
    expect((await store.delegations.events(made.id, 10)).map(({ event }) => event)).toEqual([
      'rotated',
      'made',
    ])
  })

  test('its end is noted once, and nothing is held or kept any more', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    const made = await makeDelegation(store, await newIdentity(store))
    const end = {
      state: 'revoked' as const,
      at: days(2),
      reason: 'it was lost',
      entry: ledgerEntry('revoked', { at: days(2) }),
    }
    expect(await store.delegations.end(made.id, end)).toEqual({ held: made.held })
    expect(await store.delegations.end(made.id, { ...end, reason: 'again' })).toBeUndefined()
    expect(await store.delegations.find(made.id)).toMatchObject({
      state: 'revoked',
      endedAt: days(2),
      endReason: 'it was lost',
    })
    expect(await load(store, made.id)).toBeUndefined()
    const save = await store.delegations.withRefreshToken(
      made.id,
      (locked) => locked.save(heldToken(), { renewsUntil: days(9) }),
      1000,
    )
    expect(save).toBe(false)
    expect(await query(settings, 'select sealed_custody from delegations')).toEqual([
      { sealed_custody: null },
    ])
    expect(await store.delegations.events(made.id, 10)).toHaveLength(2)
  })

  test('a delegation that ends during a refresh: the new token is not saved, and the ledger has no line of it', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    const made = await makeDelegation(store, await newIdentity(store))
    const entry = ledgerEntry('revoked', { at: days(2) })
    const saved = await store.delegations.withRefreshToken(
      made.id,
      async (locked) => {
        expect(await locked.load()).toEqual(made.held)
        await store.delegations.end(made.id, { state: 'revoked', at: days(2), reason: 'x', entry })
        const rotated = ledgerEntry('rotated', { at: days(2) })
        return locked.save(heldToken(), { renewsUntil: days(9), entry: rotated })
      },
      1000,
    )
    expect(saved).toBe(false)
    expect(await query(settings, 'select sealed_custody from delegations')).toEqual([
      { sealed_custody: null },
    ])
    const events = await store.delegations.events(made.id, 10)
    expect(events.map(({ event }) => event)).toEqual(['revoked', 'made'])
  })

  test('an end that was decided on an older token is not carried out', async () => {
    const store = await open(await newDatabase())
    const made = await makeDelegation(store, await newIdentity(store))
    const newer = heldToken({ previous: made.held.current })
    await store.delegations.withRefreshToken(
      made.id,
      (locked) => locked.save(newer, { renewsUntil: days(30) }),
      1000,
    )
    const end = { state: 'ended' as const, at: NOW, reason: 'x', entry: ledgerEntry('ended') }
    const over = (onlyIfCurrent: string) =>
      store.delegations.end(made.id, { ...end, onlyIfCurrent })
    expect(await over(made.held.current)).toBeUndefined()
    expect(await store.delegations.find(made.id)).toMatchObject({ state: 'active' })
    expect(await over(newer.current)).toEqual({ held: newer })
  })

  test('being used is noted', async () => {
    const store = await open(await newDatabase())
    const made = await makeDelegation(store, await newIdentity(store))
    await store.delegations.used(made.id, ledgerEntry('used', { at: days(3), detail: 'proxy' }))
    await store.delegations.addEvent(
      made.id,
      ledgerEntry('refused', { at: days(4), outcome: 'refused' }),
    )
    expect(await store.delegations.find(made.id)).toMatchObject({ lastUsedAt: days(3) })
    expect(await store.delegations.events(made.id, 2)).toEqual([
      { at: days(4), event: 'refused', outcome: 'refused', origin, detail: undefined },
      { at: days(3), event: 'used', outcome: 'allowed', origin, detail: 'proxy' },
    ])
  })

  test('the census counts states and tells the first end to come', async () => {
    const store = await open(await newDatabase())
    expect(await store.delegations.census(NOW)).toEqual({
      counts: { active: 0, ended: 0, revoked: 0 },
      ending: { 1: 0, 3: 0, 7: 0, 30: 0 },
      firstEnd: undefined,
    })
    const identity = await newIdentity(store)
    const make = (renewsUntil: Date) => makeDelegation(store, identity, { renewsUntil })
    await make(days(-1))
    await make(days(9))
    const first = await make(days(4))
    const { id } = await make(days(2))
    await store.delegations.end(id, {
      state: 'ended',
      at: NOW,
      reason: 'x',
      entry: ledgerEntry('ended'),
    })
    expect(await store.delegations.census(NOW)).toEqual({
      counts: { active: 3, ended: 1, revoked: 0 },
      ending: { 1: 0, 3: 0, 7: 1, 30: 2 },
      firstEnd: days(4),
    })
    const within = (until: Date) => store.delegations.list({ ends: { after: NOW, until } })
    expect(await within(days(3))).toEqual([])
    expect((await within(days(4))).map((delegation) => delegation.id)).toEqual([first.id])
    expect(await within(days(30))).toHaveLength(2)
  })
})

describeStores('the lock of a delegation', ({ kind, newDatabase, open }) => {
  test('holds off others, in this process and (on PostgreSQL) in all', async () => {
    const settings = await newDatabase()
    const masterKeys = newMasterKeys()
    const [one, other] = [await open(settings, masterKeys), await open(settings, masterKeys)]
    const made = await makeDelegation(one, await newIdentity(one))
    const stores = kind === 'postgresql' ? [one, other] : [one, one]
    let inside = 0
    let most = 0
    const work = async (): Promise<void> => {
      inside += 1
      most = Math.max(most, inside)
      await new Promise((resolve) => setTimeout(resolve, 5))
      inside -= 1
    }
    await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        stores[index % 2]!.delegations.withRefreshToken(made.id, work, 5000),
      ),
    )
    expect(most).toBe(1)
    // Another delegation does not wait.
    const second = await makeDelegation(one, await newIdentity(one))
    await one.delegations.withRefreshToken(
      made.id,
      () => one.delegations.withRefreshToken(second.id, work, 100),
      100,
    )
  })

  test('who waits too long is told to come again, and the next one is not stuck', async () => {
    const settings = await newDatabase()
    const masterKeys = newMasterKeys()
    const one = await open(settings, masterKeys)
    const other = kind === 'postgresql' ? await open(settings, masterKeys) : one
    const { id } = await makeDelegation(one, await newIdentity(one))
    let release = (): void => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    let inside = false
    const work = (): Promise<void> => {
      inside = true
      return held
    }
    const holder = one.delegations.withRefreshToken(id, work, 1000)
    await expect.poll(() => inside).toBe(true)
    const waiting = other.delegations.withRefreshToken(id, () => held, 20)
    await expect(waiting).rejects.toMatchObject({ code: 'overloaded', check: 'delegation_busy' })
    release()
    await holder
    expect(await other.delegations.withRefreshToken(id, async () => 'mine', 1000)).toBe('mine')
  })

  test('work that fails gives it back', async () => {
    const store = await open(await newDatabase())
    const { id } = await makeDelegation(store, await newIdentity(store))
    const failing = store.delegations.withRefreshToken(
      id,
      () => Promise.reject(new Error('broken')),
      100,
    )
    await expect(failing).rejects.toThrow()
    expect(await store.delegations.withRefreshToken(id, async () => 1, 100)).toBe(1)
  })
})

describeStores('notices and upkeep', ({ newDatabase, open, query }) => {
  test('a notice is claimed by one, again after it failed, and never after it was given', async () => {
    const settings = await newDatabase()
    const masterKeys = newMasterKeys()
    const [one, other] = [await open(settings, masterKeys), await open(settings, masterKeys)]
    const identity = await newIdentity(one)
    const soon = await makeDelegation(one, identity, { renewsUntil: days(4) })
    await makeDelegation(one, identity, { renewsUntil: days(-1) })
    await makeDelegation(one, identity, { renewsUntil: days(20) })
    const due = async (now: Date) => one.delegations.dueForNotice(now, days(5))
    expect((await due(NOW)).map(({ id }) => id)).toEqual([soon.id])
    const [delegation] = await due(NOW)
    const claim = { now: NOW, until: days(0.01) }
    const claims = await Promise.all(
      [one, other, one, other].map((store) => store.delegations.claimNotice(delegation!, claim)),
    )
    expect(claims.filter(Boolean)).toHaveLength(1)
    expect(await due(NOW)).toEqual([])
    const later = days(0.02)
    expect(await due(later)).toHaveLength(1)
    expect(
      await other.delegations.claimNotice(delegation!, { now: later, until: days(0.03) }),
    ).toBe(true)
    await other.delegations.noticeGiven(delegation!, ledgerEntry('notice'))
    expect(await due(days(1))).toEqual([])
    expect(await one.delegations.claimNotice(delegation!, { now: days(1), until: days(2) })).toBe(
      false,
    )
    // A new end is a new notice.
    await one.delegations.withRefreshToken(
      soon.id,
      (locked) => locked.save(heldToken(), { renewsUntil: days(4.5) }),
      1000,
    )
    expect(await due(days(1))).toHaveLength(1)
  })

  test('the overdue are those too old or long past their end', async () => {
    const store = await open(await newDatabase())
    const identity = await newIdentity(store)
    const old = await makeDelegation(store, identity, { createdAt: days(-400) })
    const unused = await makeDelegation(store, identity, { renewsUntil: days(-40) })
    await makeDelegation(store, identity)
    const overdue = await store.delegations.overdue({
      madeBefore: days(-365),
      endedBefore: days(-30),
    })
    expect(overdue.map(({ id }) => id).sort()).toEqual([old.id, unused.id].sort())
  })

  test('a rotation of the master key takes refresh tokens along', async () => {
    const settings = await newDatabase()
    const lines = ['k1', 'k2'].map((id) => `${id}:${randomBytes(32).toString('base64')}`)
    const [first = '', second = ''] = lines
    const store = await open(settings, parseMasterKeys(first, 'test'))
    const made = await makeDelegation(store, await newIdentity(store))
    await newEndEntity(store)
    await store.close()
    const rotating = await open(settings, parseMasterKeys(`${second}\n${first}`, 'test'))
    expect(await rotating.reencryptKeys()).toBe(2)
    expect(await rotating.reencryptKeys()).toBe(0)
    await rotating.close()
    const after = await open(settings, parseMasterKeys(second, 'test'))
    expect(await load(after, made.id)).toEqual(made.held)
    await after.close()
    await expect(open(settings, parseMasterKeys(first, 'test'))).rejects.toMatchObject({
      code: 'configuration',
      check: 'master_key_unknown',
    })
  })

  test("a refresh token is bound to its row: another row's is refused, and can still be revoked", async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    const identity = await newIdentity(store)
    const [a, b] = [await makeDelegation(store, identity), await makeDelegation(store, identity)]
    await query(
      settings,
      `update delegations set sealed_custody = (select o.sealed_custody from delegations o where o.id = '${a.id}') where id = '${b.id}' returning id`,
    )
    expect(await load(store, a.id)).toEqual(a.held)
    await expect(load(store, b.id)).rejects.toMatchObject({ check: 'held_key_tampered' })
    const end = { at: NOW, reason: 'x', entry: ledgerEntry('revoked') }
    await expect(store.delegations.end(b.id, { ...end, state: 'ended' })).rejects.toMatchObject({
      check: 'held_key_tampered',
    })
    await store.delegations.end(b.id, { ...end, state: 'revoked' })
    expect(await store.delegations.find(b.id)).toMatchObject({ state: 'revoked' })
  })

  test('old lines go, and delegations that are long over with them', async () => {
    const store = await open(await newDatabase())
    const identity = await newIdentity(store)
    const [alive, over] = [
      await makeDelegation(store, identity),
      await makeDelegation(store, identity),
    ]
    const entry = ledgerEntry('revoked')
    await store.delegations.end(over.id, { state: 'revoked', at: NOW, reason: 'x', entry })
    await store.prune(days(10), days(-1))
    expect(await store.delegations.events(alive.id, 10)).toHaveLength(1)
    expect(await store.delegations.find(over.id)).toBeDefined()
    await store.prune(days(10), days(5))
    expect(await store.delegations.events(alive.id, 10)).toEqual([])
    expect(await store.delegations.find(alive.id)).toMatchObject({ state: 'active' })
    expect(await store.delegations.find(over.id)).toBeUndefined()
  })

  test('a proof is taken once', async () => {
    const settings = await newDatabase()
    const masterKeys = newMasterKeys()
    const [one, other] = [await open(settings, masterKeys), await open(settings, masterKeys)]
    const claims = [one, other, one, other].map((store) => store.claimProof('digest', days(1)))
    expect((await Promise.all(claims)).filter(Boolean)).toHaveLength(1)
    expect(await one.claimProof('another', days(1))).toBe(true)
    await one.prune(days(2), days(-1))
    expect(await other.claimProof('digest', days(3))).toBe(true)
  })
})

import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openState } from '../../../src/certcache/state/open-state.ts'
import { readState, writeState } from '../../../src/certcache/state/state-records.ts'
import type { StateLock, StateStore } from '../../../src/certcache/state/state-store.ts'
import { trustGroup } from '../../../src/files/trusted-group.ts'
import { ask, type PostgresCluster, startPostgres } from '../../support/postgres.ts'
import { eventually, temporaryDirectory, uid } from '../engine-support.ts'

let postgres: PostgresCluster
beforeAll(async () => {
  postgres = await startPostgres()
}, 60_000)
afterAll(async () => postgres.stop())

interface Place {
  readonly directory: string
  readonly key_file: string
  readonly cluster: string
  readonly url?: string
}

async function newPlace(kind: 'files' | 'PostgreSQL'): Promise<Place> {
  const directory = join(await temporaryDirectory(), 'state')
  if (kind === 'files') return { directory, key_file: join(directory, 'state.key'), cluster: 'c' }
  const key = join(await temporaryDirectory(), 'key')
  await writeFile(key, randomBytes(32).toString('base64'), { mode: 0o600 })
  return { directory, key_file: key, cluster: 'c', url: await postgres.createDatabase() }
}

async function locked(store: StateStore): Promise<StateLock> {
  const lock = await store.tryLock('renewer')
  if (lock === undefined) throw new Error('the lock is taken')
  return lock
}

const delegation = (id: string) => ({
  id,
  renewal_secret: 'tts_renew_secret',
  made_at: new Date('2026-11-23T00:00:00Z'),
  renews_until: new Date('2026-12-23T00:00:00Z'),
  used: ['x'],
})

describe.for(['files', 'PostgreSQL'] as const)('state in %s', (kind) => {
  test('what was written is read, by another store too, and is not to be seen', async () => {
    const place = await newPlace(kind)
    const store = await openState(place, uid)
    expect(await readState(store, 'delegation')).toBeUndefined()
    expect(await store.version('delegation')).toBeUndefined()
    const lock = await locked(store)
    await writeState(lock, 'delegation', delegation('one'))
    const version = await store.version('delegation')
    expect(await store.version('delegation')).toBe(version)
    const other = await openState(place, uid)
    expect(await readState(other, 'delegation')).toEqual(delegation('one'))
    await writeState(lock, 'delegation', delegation('two'))
    expect(await other.version('delegation')).not.toBe(version)
    const raw =
      place.url === undefined
        ? await readFile(join(place.directory, 'c.delegation.sealed'), 'latin1')
        : JSON.stringify(await ask(place.url, 'select * from certcache_state'))
    expect(raw).not.toContain('tts_renew_secret')
    await lock.remove('delegation')
    expect(await other.version('delegation')).toBeUndefined()
    await lock.release()
    await store.close()
    await other.close()
  })

  test('one holds a lock, until it lets go; names and clusters are apart', async () => {
    const place = await newPlace(kind)
    const [store, other] = [await openState(place, uid), await openState(place, uid)]
    const lock = await locked(store)
    expect(await other.tryLock('renewer')).toBeUndefined()
    expect(await store.tryLock('renewer')).toBeUndefined()
    // A failed try, whose descriptor is closed, takes nothing away.
    expect(await other.tryLock('renewer')).toBeUndefined()
    const user = await other.tryLock('refresh-token')
    expect(user).toBeDefined()
    const elsewhere = await openState({ ...place, cluster: 'd' }, uid)
    const theirs = await elsewhere.tryLock('renewer')
    expect(theirs).toBeDefined()
    await lock.check()
    await lock.release()
    const next = await other.tryLock('renewer')
    expect(next).toBeDefined()
    for (const held of [next, user, theirs]) await held?.release()
    for (const open of [store, other, elsewhere]) await open.close()
  })

  test('a record under the name or in the cluster of another is not taken for it', async () => {
    const place = await newPlace(kind)
    const store = await openState(place, uid)
    await store.deposit(Buffer.from('{}'))
    if (place.url === undefined) {
      const at = (name: string): string => join(place.directory, name)
      const sealed = await readFile(at('c.incoming.sealed'))
      await writeFile(at('c.custody.sealed'), sealed, { mode: 0o600 })
      await writeFile(at('d.incoming.sealed'), sealed, { mode: 0o600 })
    } else {
      const copy = `insert into certcache_state (cluster, record, version, sealed)
        select $1, $2, version, sealed from certcache_state where cluster = 'c' and record = 'incoming'`
      await ask(place.url, copy, ['c', 'custody'])
      await ask(place.url, copy, ['d', 'incoming'])
    }
    const refused = { code: 'configuration', check: 'state_sealed' }
    await expect(store.read('custody')).rejects.toMatchObject(refused)
    const other = await openState({ ...place, cluster: 'd' }, uid)
    await expect(other.read('incoming')).rejects.toMatchObject(refused)
    await store.close()
    await other.close()
  })

  test('another key, and what another version wrote, are told', async () => {
    const place = await newPlace(kind)
    const store = await openState(place, uid)
    await store.deposit(Buffer.from('{"form": 99}'))
    await expect(readState(store, 'incoming')).rejects.toMatchObject({ check: 'state_form' })
    await store.close()
    const key = join(await temporaryDirectory(), 'key')
    await writeFile(key, randomBytes(32).toString('base64'), { mode: 0o600 })
    const other = await openState({ ...place, key_file: key }, uid)
    await expect(other.read('incoming')).rejects.toMatchObject({
      check: 'state_sealed',
      remedy: expect.stringContaining('Restore the right key'),
    })
    await other.close()
  })
})

describe('files', () => {
  test('are private from the start', async () => {
    const place = await newPlace('files')
    const store = await openState(place, uid)
    await store.deposit(Buffer.from('{}'))
    const lock = await locked(store)
    const mode = async (path: string): Promise<number> => (await stat(path)).mode & 0o7777
    expect(await mode(place.directory)).toBe(0o700)
    for (const name of await readdir(place.directory))
      expect([name, await mode(join(place.directory, name))]).toEqual([name, 0o600])
    await lock.release()
  })

  const wrong: readonly (readonly [string, (place: Place) => Promise<void>, RegExp, RegExp])[] = [
    [
      'a directory that others can reach',
      async ({ directory }) => chmod(directory, 0o755),
      /can be accessed by other users than its owner \(mode 0755\)/,
      /chmod 700/,
    ],
    [
      'a key that others can read',
      async ({ key_file: path }) => chmod(path, 0o644),
      /can be used by others/,
      /chmod 600/,
    ],
    [
      'no key, and a state',
      async ({ key_file: path }) => rm(path),
      /the key .* is missing/,
      /Restore it/,
    ],
    [
      'a key that is none',
      async ({ key_file: path }) => writeFile(path, 'short'),
      /does not hold a key/,
      /dev\/urandom/,
    ],
    [
      'a link in place of the directory',
      async ({ directory }) => {
        await rm(directory, { recursive: true })
        await mkdir(`${directory}-real`, { mode: 0o700 })
        await symlink(`${directory}-real`, directory)
      },
      /must be a directory/,
      /Name the directory itself/,
    ],
    [
      'a file in place of the directory',
      async ({ directory }) => {
        await rm(directory, { recursive: true })
        await writeFile(directory, '')
      },
      /the state in .* cannot be used/,
      /state.directory/,
    ],
  ]
  test('of a volume with fsGroup are accepted with trusted_group, and not without', async () => {
    const place = await newPlace('files')
    const store = await openState(place, uid)
    await store.deposit(Buffer.from('{}'))
    await store.close()
    // As Kubernetes does at each start of a pod.
    await chmod(place.directory, 0o2770)
    for (const name of await readdir(place.directory))
      await chmod(join(place.directory, name), 0o660)
    const group = process.getegid?.() ?? 0
    await expect(openState(place, uid)).rejects.toMatchObject({
      check: 'file_mode',
      remedy: expect.stringContaining(`set trusted_group: ${group}.`),
    })
    trustGroup(group)
    onTestFinished(() => void trustGroup(undefined))
    const again = await openState(place, uid)
    expect(await again.read('incoming')).toEqual(Buffer.from('{}'))
    await again.close()
  })

  test.for(wrong)('%s stops the start', async ([, spoil, message, remedy]) => {
    const place = await newPlace('files')
    const store = await openState(place, uid)
    await store.deposit(Buffer.from('{}'))
    await store.close()
    await spoil(place)
    await expect(openState(place, uid)).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringMatching(message),
      remedy: expect.stringMatching(remedy),
    })
  })

  test('of another user are refused', async () => {
    const place = await newPlace('files')
    await openState(place, uid)
    await expect(openState(place, uid + 1)).rejects.toMatchObject({
      message: expect.stringContaining('belongs to another user'),
    })
  })

  test('that others can read are refused when they are read', async () => {
    const place = await newPlace('files')
    const store = await openState(place, uid)
    await store.deposit(Buffer.from('{}'))
    await chmod(join(place.directory, 'c.incoming.sealed'), 0o644)
    await expect(store.read('incoming')).rejects.toMatchObject({ check: 'file_mode' })
  })

  test('a lock that cannot be one is told', async () => {
    const place = await newPlace('files')
    const store = await openState(place, uid)
    await writeFile(join(place.directory, 'c.renewer.lock'), 'this is no database, and long enough')
    await expect(store.tryLock('renewer')).rejects.toMatchObject({ check: 'file_lock' })
  })
})

describe('PostgreSQL', () => {
  test('many that start at once make one table', async () => {
    const place = await newPlace('PostgreSQL')
    const stores = await Promise.all(Array.from({ length: 8 }, async () => openState(place, uid)))
    expect(await Promise.all(stores.map(async (store) => store.version('proxies')))).toEqual(
      stores.map(() => undefined),
    )
    const locks = await Promise.all(stores.map(async (store) => store.tryLock('renewer')))
    expect(locks.filter((lock) => lock !== undefined)).toHaveLength(1)
    await Promise.all(locks.map(async (lock) => lock?.release()))
    await Promise.all(stores.map(async (store) => store.close()))
  })

  test('a lock whose connection broke is lost, can write no more, and is free for others', async () => {
    const place = await newPlace('PostgreSQL')
    const store = await openState(place, uid)
    const lock = await locked(store)
    await writeState(lock, 'delegation', delegation('one'))
    await ask(
      place.url ?? '',
      "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'",
    )
    await eventually(() => lock.lost.aborted)
    await expect(writeState(lock, 'delegation', delegation('two'))).rejects.toMatchObject({
      code: 'store_unavailable',
    })
    await expect(lock.check()).rejects.toMatchObject({ code: 'store_unavailable' })
    // The server takes a moment to end a session that it was told to end.
    const next = await eventually(() => store.tryLock('renewer'))
    expect(await readState(store, 'delegation')).toMatchObject({ id: 'one' })
    await next.release()
    await store.close()
  })

  test('a broken connection for questions is made anew', async () => {
    const place = await newPlace('PostgreSQL')
    const store = await openState(place, uid)
    await store.deposit(Buffer.from('{}'))
    await ask(
      place.url ?? '',
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'certcache'",
    )
    await eventually(async () => store.version('incoming').catch(() => undefined))
    await store.close()
  })

  test('the key must be there, and a database that is away is told without its password', async () => {
    const place = await newPlace('PostgreSQL')
    await expect(openState({ ...place, key_file: '/nonexistent' }, uid)).rejects.toMatchObject({
      check: 'state_key',
    })
    const url = 'postgres://user:hush@127.0.0.1:1/db'
    const store = await openState({ ...place, url }, uid)
    const error = await store.read('proxies').catch((failure: unknown) => failure)
    expect(error).toMatchObject({ code: 'store_unavailable' })
    expect(JSON.stringify(error)).not.toContain('hush')
    await store.close()
  })
})

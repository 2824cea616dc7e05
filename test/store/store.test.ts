import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, readdir, stat, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { expect, test } from 'vitest'
import { type StoreSettings, storeSettings } from '../../src/config/store-schema.ts'
import { isChangeName } from '../../src/store/schema/compatibility.ts'
import { schemaMigrations } from '../../src/store/schema/migrations.ts'
import { openStore } from '../../src/store/store.ts'
import {
  auditLine,
  describeStores,
  newCredential,
  newEndEntity,
  newMasterKeys,
  NOW,
} from './support.ts'

describeStores('a store', ({ kind, newDatabase, open, query }) => {
  test('says what it is and answers a ping', async () => {
    const store = await open(await newDatabase())
    expect(store.kind).toBe(kind)
    await Promise.all([store.ping(), store.ping(), store.ping()])
  })

  test('several that start at once on an empty database all find the schema', async () => {
    const settings = await newDatabase()
    const masterKeys = newMasterKeys()
    const stores = await Promise.all(Array.from({ length: 4 }, () => open(settings, masterKeys)))
    await Promise.all(stores.map((store) => store.recordAudit(auditLine())))
    expect(await stores[0]!.listAudit({})).toHaveLength(4)
    const done = await query(settings, 'select name from kysely_migration')
    expect(new Set(done.map((row) => JSON.stringify(row))).size).toBe(done.length)
  })

  test('what is recorded is there after closing and opening again', async () => {
    const settings = await newDatabase()
    const masterKeys = newMasterKeys()
    const first = await open(settings, masterKeys)
    const { identity, serial, held } = await newEndEntity(first)
    const made = await newCredential(first, identity, serial)
    await first.close()
    const second = await open(settings, masterKeys)
    expect(await second.findCredential(made.id)).toMatchObject({ id: made.id })
    expect(await second.findHeldEndEntity(identity.id, NOW, 'rsa-2048')).toEqual(held)
  })

  const withChanges = async (...names: readonly string[]): Promise<StoreSettings> => {
    const settings = await newDatabase()
    await (await open(settings)).close()
    for (const name of names)
      await query(
        settings,
        `insert into kysely_migration (name, timestamp) values ('${name}', '2030') returning name`,
      )
    return settings
  }
  const newest = Object.keys(schemaMigrations(kind)).toSorted().at(-1)?.slice(0, 4)

  test.for([
    { names: ['9999_future'] },
    { names: ['9998_expand_site', '9999_contract_9998_old_site'] },
    { names: ['9999_contract_old_site'] },
    { names: ['9999_expand'] },
  ])('a database with the later changes $names is refused', async ({ names }) => {
    const settings = await withChanges(...names)
    await expect(open(settings)).rejects.toMatchObject({
      code: 'configuration',
      check: 'schema_version',
      message: expect.stringContaining(names.at(-1) ?? '') as string,
    })
  })

  test('a database without a change of this version, and with a later one, is refused', async () => {
    const settings = await withChanges('9998_expand_site')
    await query(settings, `delete from kysely_migration where name like '0009%' returning name`)
    await expect(open(settings)).rejects.toMatchObject({ check: 'schema_version' })
  })

  test.for([
    { names: ['9998_expand_site', '9999_expand_more'] },
    { names: ['9998_expand_site', `9999_contract_${newest}_old_site`] },
    { names: ['9999_contract_0009_old_site'] },
  ])('a database with the later changes $names is used', async ({ names }) => {
    const settings = await withChanges(...names)
    const store = await open(settings)
    const { identity, serial } = await newEndEntity(store)
    await newCredential(store, identity, serial)
    const done = (await query(settings, 'select name from kysely_migration')) as { name: string }[]
    expect(done.map(({ name }) => name)).toEqual(expect.arrayContaining([...names]))
  })

  test('later changes follow the form that earlier releases can judge', () => {
    const later = Object.keys(schemaMigrations(kind)).filter((name) => name > '0011')
    expect(later.filter((name) => !isChangeName(name))).toEqual([])
  })

  test('closing finishes what was begun; later calls are refused; closing twice is no fault', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    const begun = Array.from({ length: 300 }, () => store.recordAudit(auditLine()))
    const closed = store.close()
    await expect(store.recordAudit(auditLine())).rejects.toMatchObject({ code: 'shutting_down' })
    await Promise.all([...begun, closed, store.close()])
    await expect(store.ping()).rejects.toMatchObject({ code: 'shutting_down' })
    expect(await query(settings, 'select id from audit')).toHaveLength(300)
  })
})

/** Takes SQLite's write lock, or PostgreSQL's lock for CRLs; answers what gives it back. */
async function holdWrites({ url, path }: StoreSettings): Promise<() => Promise<void>> {
  if (url === undefined) {
    const database = new DatabaseSync(path)
    database.exec('begin immediate')
    return async () => database.close()
  }
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('select pg_advisory_lock($1, $2)', [0x545453, 0x43524c])
  return async () => client.end()
}

describeStores('a database that is held up', ({ kind, newDatabase, open }) => {
  test('gives store_unavailable within the deadline, and works again after', async () => {
    const settings = await newDatabase({ timeout_seconds: 0.3 })
    const masterKeys = newMasterKeys()
    // The first one creates the tables, which may take longer than the deadline of the test.
    const patient = await open({ ...settings, timeout_seconds: 60 }, masterKeys)
    const store = await open(settings, masterKeys)
    // SQLite has one lock for all who write; on PostgreSQL only what wants this lock waits. It is held until this
    // test lets go, so that nobody's waiting ends by luck.
    const letGo = await holdWrites(settings)
    const nextUpdate = new Date(NOW.getTime() + 1000)
    const crl = { number: 1, thisUpdate: NOW, nextUpdate, der: Buffer.of(0x30, 0), revocations: 0 }
    const recorded = kind === 'sqlite' ? patient.recordAudit(auditLine()) : patient.addCrl(crl)
    const waiting = kind === 'sqlite' ? store.recordAudit(auditLine()) : store.addCrl(crl)
    await expect(waiting).rejects.toMatchObject({ code: 'store_unavailable' })
    // The patient one still waits; reading does not stand behind it, however long that may take.
    expect(await patient.listAudit({})).toEqual([])
    await letGo()
    await recorded
    await expect
      .poll(() =>
        store.recordAudit(auditLine()).then(
          () => 'recorded',
          () => 'refused',
        ),
      )
      .toBe('recorded')
  })
})

test('SQLite files are private from the start, whatever the umask', async () => {
  const directory = execFileSync('mktemp', ['-d']).toString().trim()
  const path = join(directory, 'new', 'tts.db')
  const previous = process.umask(0)
  try {
    const store = await openStore({
      settings: storeSettings.parse({ path }),
      masterKeys: newMasterKeys(),
      now: () => NOW,
    })
    await store.recordAudit(auditLine())
    expect((await stat(dirname(path))).mode & 0o777).toBe(0o700)
    expect((await readdir(dirname(path))).toSorted()).toEqual([
      'tts.db',
      'tts.db-shm',
      'tts.db-wal',
    ])
    for (const name of await readdir(dirname(path))) {
      expect((await stat(join(dirname(path), name))).mode & 0o777, name).toBe(0o600)
    }
    await store.close()
    await chmod(path, 0o644)
    await expect(
      openStore({
        settings: storeSettings.parse({ path }),
        masterKeys: newMasterKeys(),
        now: () => NOW,
      }),
    ).rejects.toMatchObject({ code: 'configuration', remedy: `Run chmod 600 '${path}'.` })
  } finally {
    process.umask(previous)
    await rm(directory, { recursive: true, force: true })
  }
})

test('a PostgreSQL that accepts and never answers is given up within the deadline', async () => {
  const silent = createServer(() => undefined).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const password = 'do-not-show-this'
  const settings = storeSettings.parse({
    url: `postgres://u:${password}@127.0.0.1:${port}/d`,
    timeout_seconds: 0.3,
  })
  const refusal: unknown = await openStore({
    settings,
    masterKeys: newMasterKeys(),
    now: () => NOW,
  }).catch((error: unknown) => error)
  silent.close()
  expect(refusal).toMatchObject({ code: 'store_unavailable', retryAfterSeconds: 1 })
  expect(JSON.stringify(refusal, Object.getOwnPropertyNames(refusal))).not.toContain(password)
})

test.for([
  { name: 'an unknown key', value: { file: 'x' } },
  { name: 'a url of another database', value: { url: 'mysql://x/y' } },
  { name: 'one connection, which a CRL would block', value: { pool_size: 1 } },
  { name: 'no time', value: { timeout_seconds: 0 } },
])('settings with $name are refused', ({ value }) => {
  expect(storeSettings.safeParse(value).success).toBe(false)
})

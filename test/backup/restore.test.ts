/** A restore is all or nothing: what cannot be restored whole leaves neither records nor files. */
import { mkdir, mkdtemp, open, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  type BackupPlace,
  type BackupSummary,
  restoreBackup,
  verifyBackup,
  writeBackup,
} from '../../src/backup/backup.ts'
import { type BackupPart, writeParts } from '../../src/backup/content.ts'
import { encryptBackup } from '../../src/backup/encryption.ts'
import {
  type FilePlace,
  readFiles,
  refuseFilledPlace,
  refuseUnknownFile,
  withAllKeys,
} from '../../src/backup/files.ts'
import type { StoreSettings } from '../../src/config/store-schema.ts'
import { schemaMigrations } from '../../src/store/schema/migrations.ts'
import { restoreRows } from '../../src/store/table-backup.ts'
import { describeStores, NOW } from '../store/support.ts'

const NEWEST_SCHEMA = Object.keys(schemaMigrations('sqlite')).toSorted().at(-1)!
const PASSPHRASE = 'a passphrase of some length'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tts-restore-'))
})
afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})
const path = (name: string): string => join(directory, name)

/** Writes a backup with these files and one user. */
async function backupWith(...files: readonly string[]): Promise<void> {
  async function* parts(): AsyncGenerator<BackupPart> {
    yield { header: { schema: NEWEST_SCHEMA, createdAt: NOW.toISOString() } }
    for (const file of files)
      yield { file: { path: file, mode: 0o600, data: Buffer.from(`content of ${file}`) } }
    const row = { id: 'i-1', issuer: 'https://iam.example/', sub: 'alice', created_at: 1 }
    const values = { ...row, subject: '/CN=alice', comparable: '/cn=alice' }
    yield { row: { table: 'identities', values } }
  }
  const handle = await open(path('backup'), 'w', 0o600)
  await pipeline(
    Readable.from(writeParts(parts())),
    createGzip(),
    await encryptBackup(PASSPHRASE),
    handle.createWriteStream(),
  )
}

async function read(
  work: (handle: Awaited<ReturnType<typeof open>>) => Promise<BackupSummary>,
): Promise<BackupSummary> {
  const handle = await open(path('backup'))
  try {
    return await work(handle)
  } finally {
    await handle.close()
  }
}

describeStores('a restore', ({ kind, newDatabase, query }) => {
  const placeFor = (database: StoreSettings): BackupPlace => ({
    database,
    dataDirectory: path('data'),
    masterKeyFile: path('data/master-keys'),
    issuesSsh: true,
  })
  const newPlace = async (): Promise<BackupPlace> => placeFor(await newDatabase())
  const restore = async (place: BackupPlace): Promise<BackupSummary> =>
    read(async (handle) => restoreBackup(place, handle, PASSPHRASE))
  const users = async ({ database }: BackupPlace): Promise<number> =>
    (await query(database, 'select id from identities')).length
  const everything = async (): Promise<string[]> => (await readdir(path('data'))).sort()

  beforeEach(async () => mkdir(path('data')))

  test('brings back the files of all CAs, whatever their names', async () => {
    const files = ['ca/ca.pem', 'ca/.ca.pem.swp', 'ca/my notes~', 'ssh-ca/passphrase']
    const others = ['ca-next/ca-key.pem', 'ca-former/0123abcd/ca.pem', 'master-keys']
    await backupWith(...files, ...others)
    const place = await newPlace()
    expect(await restore(place)).toMatchObject({ files: [...files, ...others] })
    expect(await users(place)).toBe(1)
    expect(await everything()).toEqual(['ca', 'ca-former', 'ca-next', 'master-keys', 'ssh-ca'])
    expect(await readdir(path('data/ca'))).toHaveLength(3)
  })

  test('with a file of another place is refused before anything is written', async () => {
    await backupWith('ca/ca.pem', 'ca/../../outside')
    const place = await newPlace()
    const refusal = { message: 'the backup has the unknown file ca/../../outside' }
    await expect(restore(place)).rejects.toMatchObject(refusal)
    const verified = read(async (handle) => verifyBackup(handle, PASSPHRASE))
    await expect(verified).rejects.toMatchObject(refusal)
    expect(await everything()).toEqual([])
    // Not even its tables are there.
    await expect(users(place)).rejects.toThrow()
  })

  test('of the tables of another version is never made', async () => {
    await backupWith('ca/ca.pem')
    const place = await newPlace()
    await restore(place)
    const backUp = async (): Promise<BackupSummary> =>
      writeBackup({ ...place, masterKeyFile: undefined }, PASSPHRASE, {
        output: new PassThrough().resume(),
        now: NOW,
      })
    await expect(backUp()).resolves.toMatchObject({ rows: { identities: 1 } })
    const rename = (name: string): string =>
      `update kysely_migration set name = '${name}' where name = '${NEWEST_SCHEMA}'`
    await query(place.database, rename('9999_later'))
    await expect(backUp()).rejects.toMatchObject({
      check: 'schema_version',
      remedy: 'Make the backup with that version.',
    })
    await query(place.database, "delete from kysely_migration where name = '9999_later'")
    await expect(backUp()).rejects.toMatchObject({
      check: 'schema_version',
      message: expect.stringContaining('of an earlier version') as string,
    })
  })

  test.for([
    ['x509-ca', 'the records belong to a CA', 'ca/ca.pem', 'ca/ca-key.pem'],
    ['ssh-ca', 'the records belong to an SSH CA', 'ssh-ca/ca-key.pem'],
  ])('of records without their CA is never made: %s', async ([kind, says, ...needed]) => {
    await backupWith(...needed)
    const place = { ...(await newPlace()), masterKeyFile: undefined }
    await restore(place)
    await query(
      place.database,
      `insert into installation_keys (kind, key_id, fingerprint, name, state, since)
       values ('${kind}', 'ab', 'ab', 'CA', 'current', 1)`,
    )
    const backUp = async (): Promise<BackupSummary> =>
      writeBackup(place, PASSPHRASE, { output: new PassThrough().resume(), now: NOW })
    await expect(backUp()).resolves.toMatchObject({ files: expect.arrayContaining(needed) as [] })
    for (const name of needed.toReversed()) {
      await rm(path(`data/${name}`))
      const missing = `${path(`data/${name}`)} is missing`
      await expect(backUp()).rejects.toMatchObject({
        check: 'authority_missing',
        message: `${says}, but ${missing}; nothing was backed up`,
      })
    }
    // Who issues no SSH certificates any more may have removed the SSH CA.
    const withoutSsh = writeBackup({ ...place, issuesSsh: false }, PASSPHRASE, {
      output: new PassThrough().resume(),
      now: NOW,
    })
    await (kind === 'ssh-ca'
      ? expect(withoutSsh).resolves.toBeDefined()
      : expect(withoutSsh).rejects.toMatchObject({ check: 'authority_missing' }))
  })

  test('whose records cannot be kept leaves no file', async () => {
    await backupWith('ca/ca.pem', 'master-keys')
    const place = await newPlace()
    async function* rows() {
      // Only the tables.
    }
    const besides = async () => async () => undefined
    await restoreRows(place.database, { schema: NEWEST_SCHEMA, rows: rows(), besides })
    // A constraint that is checked when the transaction ends, so after the files were written.
    await query(
      place.database,
      'create table late (id text references credentials (id) deferrable initially deferred)',
    )
    for (const statement of failing[kind]) await query(place.database, statement)
    await expect(restore(place)).rejects.toThrow()
    expect(await users(place)).toBe(0)
    expect(await everything()).toEqual([])
    await query(place.database, 'drop table late')
    await query(place.database, kind === 'sqlite' ? dropped : `${dropped} on identities`)
    await restore(place)
    expect(await everything()).toEqual(['ca', 'master-keys'])
  })

  test('whose last file cannot be written keeps nothing, and can be repeated', async () => {
    await backupWith('ca/ca.pem', 'ca-former/0123abcd/ca.pem', 'master-keys')
    const place = await newPlace()
    const elsewhere = { ...place, masterKeyFile: path('data/missing/master-keys') }
    await expect(restore(elsewhere)).rejects.toMatchObject({ code: 'configuration' })
    expect(await users(place)).toBe(0)
    expect(await readdir(path('data'), { recursive: true })).toEqual(['ca-former'])
    await restore(place)
    expect(await users(place)).toBe(1)
  })
})

/** Make a row, with each user, that the end of the transaction refuses. */
const failing: Readonly<Record<'sqlite' | 'postgresql', readonly string[]>> = {
  sqlite: [
    "create trigger fail after insert on identities begin insert into late values ('none'); end",
  ],
  postgresql: [
    "create function late() returns trigger language plpgsql as $$ begin insert into late values ('none'); return null; end $$",
    'create trigger fail after insert on identities for each row execute function late()',
  ],
}
const dropped = 'drop trigger fail'

const inDirectory = (): FilePlace => ({ dataDirectory: path('data'), masterKeyFile: undefined })

test.for([
  '../ca/ca.pem',
  'ca/sub/ca.pem',
  'ca/..',
  'ca/',
  'ca-former/other/ca.pem',
  '/etc/passwd',
  'other/ca.pem',
  'master-keys/ca.pem',
])('the file %s has no place', (name) => {
  const file = { path: name, mode: 0o600, data: Buffer.alloc(0) }
  expect(() => refuseUnknownFile(file, [])).toThrow(`the backup has the unknown file ${name}`)
})

test('a file that is there twice is refused', () => {
  const file = { path: 'ca/ca.pem', mode: 0o644, data: Buffer.alloc(0) }
  expect(() => refuseUnknownFile(file, [file])).toThrow('the backup has the file ca/ca.pem twice')
})

test.for(['ca/ca.csr', 'ca-next/ca-key.pem', 'ca-former/89abcdef/ca.pem', 'ssh-ca/passphrase'])(
  'a directory that has %s is not empty',
  async (name) => {
    await mkdir(join(path('data'), name, '..'), { recursive: true })
    await expect(refuseFilledPlace(inDirectory())).resolves.toBeUndefined()
    await writeFile(join(path('data'), name), 'of another installation')
    await expect(refuseFilledPlace(inDirectory())).rejects.toMatchObject({
      code: 'conflict',
      check: 'not_empty',
    })
  },
)

test('files of a mounted secret, which are links, are backed up', async () => {
  await mkdir(path('data/ca/..data'), { recursive: true })
  await writeFile(path('data/ca/..data/ca.pem'), 'certificate')
  await symlink('..data/ca.pem', path('data/ca/ca.pem'))
  const files = await readFiles(inDirectory())
  expect(files.map(({ path: name, data }) => [name, data.toString()])).toEqual([
    ['ca/ca.pem', 'certificate'],
  ])
  await expect(refuseFilledPlace(inDirectory())).rejects.toMatchObject({ check: 'not_empty' })
})

test.for(['ca/ca-key.pem', 'ca/ca.csr', 'ssh-ca/passphrase'])(
  'a link %s to nothing, such as a secret that is not mounted, is an error and fills its place',
  async (name) => {
    await mkdir(join(path('data'), name, '..'), { recursive: true })
    await symlink('/mnt/nowhere', path(`data/${name}`))
    await expect(readFiles(inDirectory())).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringContaining(
        `${path(`data/${name}`)}, a link to /mnt/nowhere,`,
      ) as string,
      remedy: expect.stringContaining('Mount the volume') as string,
    })
    await expect(refuseFilledPlace(inDirectory())).rejects.toMatchObject({ check: 'not_empty' })
  },
)

test('what cannot be read is named', async () => {
  await mkdir(path('data/ca'), { recursive: true })
  await writeFile(path('data/ca/ca.pem'), '')
  // More than Node reads at once; root could read a file without any mode bits.
  await truncate(path('data/ca/ca.pem'), 2 ** 32)
  const named = (name: string) => ({
    code: 'configuration',
    message: expect.stringContaining(`${path(name)} cannot be read: `) as string,
  })
  await expect(readFiles(inDirectory())).rejects.toMatchObject(named('data/ca/ca.pem'))
  await writeFile(path('data/ca-former'), 'no directory')
  await expect(readFiles(inDirectory())).rejects.toMatchObject(named('data/ca-former'))
})

test('master keys in the directory of the CA are backed up once, and do not fill it', async () => {
  await mkdir(path('data/ca'), { recursive: true })
  await writeFile(path('data/ca/keys'), 'k1:', { mode: 0o600 })
  const place = { ...inDirectory(), masterKeyFile: path('data/ca/keys') }
  expect((await readFiles(place)).map((file) => file.path)).toEqual(['master-keys'])
  await expect(refuseFilledPlace(place)).resolves.toBeUndefined()
})

test('master keys that were removed or added while the backup was made are all in it', () => {
  const keys = (...lines: readonly string[]) => ({
    path: 'master-keys',
    mode: 0o600,
    data: Buffer.from(`${lines.join('\n')}\n`),
  })
  const other = { path: 'ca/ca.pem', mode: 0o644, data: Buffer.from('certificate') }
  const before = [other, keys('old:a', 'kept:b')]
  expect(withAllKeys([other, keys('new:c', 'kept:b')], before)).toEqual([
    other,
    keys('new:c', 'kept:b', 'old:a'),
  ])
  expect(withAllKeys([other, keys('new:c')], [other])).toEqual([other, keys('new:c')])
})

test('a file that was being written when the machine stopped is not backed up', async () => {
  await mkdir(path('data/ca'), { recursive: true })
  await writeFile(path('data/ca/ca.pem'), 'certificate')
  await writeFile(path('data/ca/.tts-0a1b2c3d4e5f.tmp'), 'half of it')
  expect((await readFiles(inDirectory())).map((file) => file.path)).toEqual(['ca/ca.pem'])
})

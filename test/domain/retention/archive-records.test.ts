import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  archiveRecords,
  type RetentionDependencies,
} from '../../../src/domain/retention/archive-records.ts'
import type { Store } from '../../../src/domain/store.ts'
import { createRecordArchive } from '../../../src/service/record-archive.ts'
import { parseMasterKeys } from '../../../src/store/encryption/master-keys.ts'
import { programPath } from '../../support/programs.ts'
import { describeStores, newCredential, newEndEntity, NOW, origin } from '../../store/support.ts'
import { archivedIds, archivedLines, BEFORE, newOldRecords } from './retention-support.ts'

let parent = ''
let directory = ''
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'tts-archive-'))
  directory = join(parent, 'archive')
})
afterEach(async () => {
  await rm(parent, { recursive: true, force: true })
})

const notAborted = new AbortController().signal
const ids = (records: readonly { readonly id: string }[]): string[] =>
  records.map(({ id }) => id).toSorted()

const moveAll = (
  store: RetentionDependencies['store'],
  overrides: Partial<RetentionDependencies> = {},
  signal = notAborted,
): Promise<boolean> =>
  archiveRecords(
    {
      store,
      archive: createRecordArchive(directory, () => NOW),
      onArchived: () => undefined,
      ...overrides,
    },
    BEFORE,
    signal,
  )

/** The store, with a step of its own in place of the removal of credentials. */
const removingBy = (
  { exclusively, endedRecords }: Store,
  removeCredentials: Store['endedRecords']['removeCredentials'],
): RetentionDependencies['store'] => ({
  exclusively,
  endedRecords: { ...endedRecords, removeCredentials },
})

describeStores('archiving', ({ newDatabase, open, query }) => {
  test('a line has all that is known: a serial number leads to person, address and time', async () => {
    const store = await open(await newDatabase())
    const { endEntitySerial, credentials } = await newOldRecords(store, 1)
    const [made] = credentials
    await store.revoke({ credentialId: made!.id, reason: 'keyCompromise', at: NOW, origin })
    const view = await store.findCredential(made!.id)
    const counts = new Map<string, number>()
    const onArchived = (record: string, count: number): void => void counts.set(record, count)
    expect(await moveAll(store, { onArchived })).toBe(true)
    expect(counts).toEqual(
      new Map([
        ['credential', 1],
        ['end_entity', 1],
      ]),
    )
    const person = { issuer: view!.identity.issuer, sub: view!.identity.sub }
    const revocation = { revoked_at: NOW.toISOString(), revocation_reason: 'keyCompromise' }
    const [proxy] = made!.certificates
    const endEntity = {
      kind: 'eec',
      serial: endEntitySerial,
      subject: '/C=EU/O=INDIGO/CN=alice',
      not_after: made!.notAfter!.toISOString(),
      fingerprint_sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
    }
    expect(await archivedLines(directory)).toMatchObject([
      {
        record: 'credential',
        id: made!.id,
        ...person,
        ...revocation,
        subject: view!.identity.subject,
        issued_at: made!.issuedAt.toISOString(),
        not_after: made!.notAfter!.toISOString(),
        service: 'proxy',
        client_id: 'client-1',
        address: '192.0.2.7',
        interface: 'native',
        request_id: 'req-1',
        end_entity_serial: endEntitySerial,
        end_entity: endEntity,
        archived_at: NOW.toISOString(),
        certificates: [
          { kind: 'proxy', serial: proxy!.serial, fingerprint_sha256: proxy!.fingerprint },
        ],
      },
      { record: 'end_entity', id: endEntitySerial, ...endEntity, ...person, ...revocation },
    ])
  })

  test('everything that ended moves, each record once, into one private file; the rest stays', async () => {
    const store = await open(await newDatabase())
    const { credentials } = await newOldRecords(store, 250)
    const { identity, serial } = await newEndEntity(store)
    const live = await newCredential(store, identity, serial)
    expect(await moveAll(store)).toBe(true)
    expect((await archivedIds(directory)).toSorted()).toEqual(ids(credentials))
    expect(ids(await store.listCredentials({ limit: 1000 }))).toEqual([live.id])
    const [name, ...more] = await readdir(directory)
    expect(more).toEqual([])
    expect(name).toMatch(/^2026-11-[0-9a-f]{12}\.jsonl$/)
    const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777
    expect(await modeOf(directory)).toBe(0o700)
    expect(await modeOf(join(directory, name!))).toBe(0o600)
    // Nothing is left to do.
    expect(await moveAll(store)).toBe(true)
    expect(await archivedIds(directory)).toHaveLength(250)
  })

  test('what was killed between archive and removal is archived again, and nothing is lost', async () => {
    const settings = await newDatabase()
    const keyText = `k:${randomBytes(32).toString('base64')}`
    const store = await open(settings, parseMasterKeys(keyText, 'test'))
    const { credentials } = await newOldRecords(store, 230)
    const program = programPath('test/domain/retention/retention-entry.ts')
    const child = spawn(
      process.execPath,
      [program, JSON.stringify(settings), directory, String(BEFORE.getTime())],
      {
        env: { ...process.env, RETENTION_TEST_MASTER_KEYS: keyText },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    )
    let errors = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text
    })
    await once(child, 'close')
    expect(child.signalCode, errors).toBe('SIGKILL')
    expect(await archivedIds(directory)).toHaveLength(200)
    expect(await store.listCredentials({ limit: 1000 })).toHaveLength(230)
    expect(await moveAll(store)).toBe(true)
    const archived = await archivedIds(directory)
    expect(archived).toHaveLength(430)
    expect([...new Set(archived)].toSorted()).toEqual(ids(credentials))
    expect(await store.listCredentials({})).toEqual([])
  })

  test('what cannot be removed stays, and is found in the archive once more next time', async () => {
    const store = await open(await newDatabase())
    const { credentials } = await newOldRecords(store, 3)
    const failing = removingBy(store, () => Promise.reject(new Error('the connection broke')))
    await expect(moveAll(failing)).rejects.toThrow('the connection broke')
    expect(ids(await store.listCredentials({}))).toEqual(ids(credentials))
    await moveAll(store)
    expect(new Set(await archivedIds(directory))).toEqual(new Set(ids(credentials)))
  })

  test('with a directory that cannot be made everything stays', async () => {
    const store = await open(await newDatabase())
    const { credentials } = await newOldRecords(store, 3)
    await writeFile(directory, 'a file in its place')
    await expect(moveAll(store)).rejects.toMatchObject({ code: 'configuration' })
    expect(ids(await store.listCredentials({}))).toEqual(ids(credentials))
    await rm(directory)
    expect(await moveAll(store)).toBe(true)
    expect((await archivedIds(directory)).toSorted()).toEqual(ids(credentials))
  })

  test.skipIf(process.getuid?.() === 0)('the same for one without write permission', async () => {
    const store = await open(await newDatabase())
    await newOldRecords(store, 3)
    await chmod(parent, 0o500)
    await expect(moveAll(store)).rejects.toMatchObject({ code: 'configuration' })
    await chmod(parent, 0o700)
    expect(await store.listCredentials({})).toHaveLength(3)
  })

  test('an operator may move a file away meanwhile: the next lines get another one', async () => {
    const store = await open(await newDatabase())
    const { credentials } = await newOldRecords(store, 250)
    let removed = 0
    const moving = removingBy(store, async (records) => {
      await store.endedRecords.removeCredentials(records)
      removed += 1
      if (removed > 1) return
      const [name] = await readdir(directory)
      await rename(join(directory, name!), join(directory, 'moved.jsonl'))
    })
    await moveAll(moving)
    expect(await readdir(directory)).toHaveLength(2)
    expect((await archivedIds(directory)).toSorted()).toEqual(ids(credentials))
  })

  test('two at once: one does it, and the other says so', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    const other = await open(settings)
    const { credentials } = await newOldRecords(store, 150)
    const others: boolean[] = []
    const first = removingBy(store, async (records) => {
      others.push(await moveAll(other))
      await store.endedRecords.removeCredentials(records)
    })
    expect(await moveAll(first)).toBe(true)
    expect(others).toEqual([false, false, false])
    expect((await archivedIds(directory)).toSorted()).toEqual(ids(credentials))
    expect(await moveAll(other)).toBe(true)
    expect(await archivedIds(directory)).toHaveLength(150)
  })

  test('it ends after the page that it is at, and goes on from there the next time', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    const { credentials } = await newOldRecords(store, 250)
    const end = new AbortController()
    const ending = removingBy(store, async (records) => {
      end.abort()
      await store.endedRecords.removeCredentials(records)
    })
    expect(await moveAll(ending, {}, end.signal)).toBe(true)
    expect(await store.listCredentials({ limit: 1000 })).toHaveLength(50)
    expect(await archivedIds(directory)).toHaveLength(200)
    await moveAll(store)
    expect((await archivedIds(directory)).toSorted()).toEqual(ids(credentials))
    expect(await query(settings, 'select serial from certificates')).toEqual([])
  })
})

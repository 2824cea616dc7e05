/**
 * The master keys of an open store. The database records which keys it was encrypted under, so that a wrong or a
 * forgotten key file is noticed at the start and not at the first key that cannot be decrypted.
 */
import { createHmac, type KeyObject } from 'node:crypto'
import type { Kysely } from 'kysely'
import { createSingleFlight } from '../../base/async.ts'
import { TtsError } from '../../base/errors.ts'
import { currentKey, insertIfFirst, makeCurrent } from '../installation.ts'
import type { RecordedMasterKey } from '../../domain/installation.ts'
import type { Database, InstallationKeyRow, Tables } from '../schema/tables.ts'
import {
  createMasterKeyFile,
  type MasterKeyFile,
  type MasterKeys,
  readMasterKeyFile,
} from './master-keys.ts'
import { unknownMasterKey } from './sealed-key.ts'

/** Master keys that follow their file: `currentId` and `keys` change when it is read again. */
export interface MasterKeyRing extends MasterKeys {
  /**
   * Reads the file again, at most once a second. Returns whether the keys changed; if the file cannot be used, they
   * stay as they are.
   */
  reload(): Promise<boolean>
}

const KIND = 'master-key'
const RELOAD_PAUSE_MS = 1000

/**
 * Opens the master keys for a database.
 *
 * @throws {TtsError} `configuration`, check `master_key_missing` (no file, but the records know a key),
 *   `master_key_unknown` (the file lacks a key of the records), `master_key_differs` (another key under the same id)
 */
export async function openMasterKeyRing(
  database: Database,
  source: MasterKeys | MasterKeyFile,
  now: () => Date,
): Promise<MasterKeyRing> {
  const read = async (): Promise<MasterKeys> => {
    const keys = 'path' in source ? await readOrCreate(database, source) : source
    return { keys: keys.keys, currentId: await recordedCurrentId(database, keys, now()) }
  }
  let latest = await read()
  await checkUsedKeys(database, latest)
  let readAtMs = -Infinity
  const reloading = createSingleFlight<boolean>()
  const reload = async (): Promise<boolean> => {
    readAtMs = performance.now()
    const before = latest
    // A file that cannot be used now must not stop a service that has its keys in memory.
    latest = await read().catch(() => before)
    return describeKeys(latest) !== describeKeys(before)
  }
  return {
    get currentId() {
      return latest.currentId
    },
    get keys() {
      return latest.keys
    },
    async reload() {
      if (reloading.current === undefined && performance.now() - readAtMs < RELOAD_PAUSE_MS)
        return false
      return reloading.run(reload)
    },
  }
}

const describeKeys = ({ currentId, keys }: MasterKeys): string =>
  [currentId, ...[...keys].map(([id, key]) => `${id}=${fingerprintOf(id, key)}`)].join(' ')

/** Makes the file only for a database that has never known a master key. */
async function readOrCreate(database: Database, file: MasterKeyFile): Promise<MasterKeys> {
  const found = await readMasterKeyFile(file)
  if (found !== undefined) return found
  const known = await knownKeyIds(database)
  if (known.length > 0) {
    throw new TtsError(
      'configuration',
      `there is no file ${file.path}, but the database is encrypted under the master key ${known.join(', ')}`,
      {
        check: 'master_key_missing',
        remedy: `Restore the file from the backup, mount the volume that holds it, or copy it from another replica. If the key is lost for ever, run \`tts master-key forget ${known[0] ?? ''}\`.`,
      },
    )
  }
  return createMasterKeyFile(file)
}

/**
 * Returns the id of the key that encrypts. The database decides, so that all replicas use the same one; a first line
 * that it does not know yet is a rotation.
 */
async function recordedCurrentId(
  { writes }: Database,
  { currentId, keys }: MasterKeys,
  now: Date,
): Promise<string> {
  const first = keys.get(currentId)
  if (first === undefined) throw new TypeError('the current master key is not among the keys')
  const row = rowOf(currentId, { key: first, since: now })
  await insertIfFirst(writes, row)
  const rows = await rowsOf(writes)
  for (const { key_id: id, fingerprint } of rows) {
    const key = keys.get(id)
    if (key !== undefined && fingerprintOf(id, key) !== fingerprint) throw differentKey(id)
  }
  const recorded = rows.find(({ state }) => state === 'current')?.key_id ?? currentId
  if (!keys.has(recorded)) throw unknownMasterKey('configuration', recorded)
  if (rows.some(({ key_id: id }) => id === currentId)) return recorded
  await writes.transaction().execute((transaction) => makeCurrent(transaction, row))
  return currentId
}

function rowOf(
  id: string,
  { key, since }: { readonly key: KeyObject; readonly since: Date },
): InstallationKeyRow {
  const fingerprint = fingerprintOf(id, key)
  return {
    kind: KIND,
    key_id: id,
    fingerprint,
    name: '',
    state: 'current',
    since: since.getTime(),
  }
}

/** Identifies a master key without revealing it. */
function fingerprintOf(id: string, key: KeyObject): string {
  return createHmac('sha256', key).update(`tts master key fingerprint v1\0${id}`).digest('hex')
}

function differentKey(id: string): TtsError {
  return new TtsError(
    'configuration',
    `the master key ${id} is not the key of that id that this database was encrypted under`,
    {
      check: 'master_key_differs',
      remedy:
        'Restore the file of master keys that belongs to this database, or use the database that belongs to this file.',
    },
  )
}

/** Returns all keys that were ever in use. */
export async function recordedMasterKeys({
  writes,
}: Database): Promise<readonly RecordedMasterKey[]> {
  const rows = await rowsOf(writes)
  return rows.map(({ key_id: id, state, since }) => ({
    id,
    isCurrent: state === 'current',
    since: new Date(since),
  }))
}

async function rowsOf(db: Kysely<Tables>): Promise<readonly InstallationKeyRow[]> {
  return db.selectFrom('installation_keys').selectAll().where('kind', '=', KIND).execute()
}

/** Refuses keys or refresh tokens in the database that no known master key opens. */
async function checkUsedKeys(database: Database, masterKeys: MasterKeys): Promise<void> {
  for (const id of await usedKeyIds(database)) {
    if (!masterKeys.keys.has(id)) throw unknownMasterKey('configuration', id)
  }
}

/** Ids of the master keys under which keys and refresh tokens are encrypted now. */
async function usedKeyIds({ writes }: Database): Promise<readonly string[]> {
  const ids = new Set<string>()
  for (const table of ['end_entity_keys', 'delegations', 'token_keys'] as const) {
    const rows = await writes.selectFrom(table).select('master_key_id').distinct().execute()
    for (const { master_key_id: id } of rows) if (id !== null) ids.add(id)
  }
  return [...ids]
}

async function knownKeyIds(database: Database): Promise<readonly string[]> {
  const current = await currentKey(database.writes, KIND)
  const used = await usedKeyIds(database)
  return [...new Set([...(current === undefined ? [] : [current.key_id]), ...used])]
}

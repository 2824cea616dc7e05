/**
 * Backs up and restores an installation as one file: the records, the CA, the SSH CA and the master keys, which belong
 * together, encrypted to a passphrase. A backup can be restored into the other kind of database.
 */
import type { FileHandle } from 'node:fs/promises'
import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createGzip } from 'node:zlib'
import { TtsError } from '../base/errors.ts'
import type { StoreSettings } from '../config/store-schema.ts'
import { cannotRead } from '../files/file-errors.ts'
import { openSnapshot, restoreRows, type BackupRow } from '../store/table-backup.ts'
import {
  type BackupFile,
  type BackupHeader,
  type BackupPart,
  readParts,
  writeParts,
} from './content.ts'
import { decryptBackup, encryptBackup } from './encryption.ts'
import {
  createFiles,
  type FilePlace,
  MASTER_KEYS,
  readFiles,
  refuseFilledPlace,
  refuseMissingAuthority,
  refuseUnknownFile,
  withAllKeys,
} from './files.ts'
import { keepsMasterKeys } from './kept-master-keys.ts'

/** What is backed up, and where it is restored to. */
export interface BackupPlace extends FilePlace {
  /** `path` is absolute. */
  readonly database: StoreSettings
  /** Whether a service issues SSH certificates, so that the SSH CA must be in the backup. */
  readonly issuesSsh: boolean
}

/** What a backup holds. */
export interface BackupSummary {
  readonly createdAt: string
  readonly files: readonly string[]
  readonly rows: Readonly<Record<string, number>>
}

/** What was restored. */
export interface RestoreSummary extends BackupSummary {
  /** Whether the master keys were there already. */
  readonly hadMasterKeys: boolean
}

/**
 * Writes a backup to a stream.
 *
 * @throws {TtsError} `configuration` (a file cannot be read, a CA of the records is missing, or there are no records
 *   yet), `store_unavailable`
 */
export async function writeBackup(
  place: BackupPlace,
  passphrase: string,
  { output, now }: { readonly output: NodeJS.WritableStream; readonly now: Date },
): Promise<BackupSummary> {
  const encryption = await encryptBackup(passphrase)
  // Read before and after the snapshot: master keys may be rotated or removed just now.
  const before = await readFiles(place)
  const snapshot = await openSnapshot(place.database)
  try {
    const files = withAllKeys(await readFiles(place), before)
    const needed = snapshot.authorities.filter((kind) => kind !== 'ssh-ca' || place.issuesSsh)
    refuseMissingAuthority(place, files, needed)
    const header: BackupHeader = { schema: snapshot.schema, createdAt: now.toISOString() }
    const rows = new Map<string, number>()
    async function* parts(): AsyncGenerator<BackupPart> {
      yield { header }
      for (const file of files) yield { file }
      for await (const row of snapshot.rows) {
        rows.set(row.table, (rows.get(row.table) ?? 0) + 1)
        yield { row }
      }
    }
    await pipeline(Readable.from(writeParts(parts())), createGzip(), encryption, output)
    return summaryOf(header, files, rows)
  } finally {
    await snapshot.close()
  }
}

/**
 * Reads a whole backup without restoring it, and so checks that it is complete.
 *
 * @throws {TtsError} `configuration` (not a backup, wrong passphrase, damaged, or a file that cannot be restored)
 */
export async function verifyBackup(backup: FileHandle, passphrase: string): Promise<BackupSummary> {
  return (await readWhole(backup, passphrase)).summary
}

async function readWhole(
  backup: FileHandle,
  passphrase: string,
): Promise<{ readonly summary: BackupSummary; readonly files: readonly BackupFile[] }> {
  const files: BackupFile[] = []
  const rows = new Map<string, number>()
  let header: BackupHeader | undefined
  for await (const part of partsOf(backup, passphrase)) {
    if ('header' in part) header = part.header
    else if ('file' in part) {
      refuseUnknownFile(part.file, files)
      files.push(part.file)
    } else rows.set(part.row.table, (rows.get(part.row.table) ?? 0) + 1)
  }
  if (header === undefined) throw noHeader()
  return { summary: summaryOf(header, files, rows), files }
}

/**
 * Restores a backup into an empty database and a data directory without CA; master keys that are there already are
 * kept. The backup is verified to its end first, so a damaged one changes nothing, and files and records are written
 * together or not at all.
 *
 * @throws {TtsError} `conflict`, check `not_empty`; `configuration`; `store_unavailable`
 */
export async function restoreBackup(
  place: BackupPlace,
  backup: FileHandle,
  passphrase: string,
): Promise<RestoreSummary> {
  const { summary, files } = await readWhole(backup, passphrase)
  await refuseFilledPlace(place)
  const hadMasterKeys = await keepsMasterKeys(place, files)
  const written = files.filter(({ path }) => path !== MASTER_KEYS || !hadMasterKeys)
  const parts = partsOf(backup, passphrase)
  const first = await parts.next()
  if (first.done === true || !('header' in first.value)) throw noHeader()
  const { schema } = first.value.header
  async function* rows(): AsyncGenerator<BackupRow> {
    for await (const part of parts) if ('row' in part) yield part.row
  }
  const besides = async (): Promise<() => Promise<void>> => createFiles(place, written)
  await restoreRows(place.database, { schema, rows: rows(), besides })
  return { ...summary, hadMasterKeys }
}

function partsOf(backup: FileHandle, passphrase: string): AsyncGenerator<BackupPart> {
  const plain = new PassThrough()
  const unpacked = pipeline(
    backup.createReadStream({ start: 0, autoClose: false }),
    (chunks: AsyncIterable<Buffer>) => decryptBackup(chunks, passphrase),
    createGunzip(),
    plain,
  )
  // The reader of `plain` gets the same error.
  unpacked.catch((error: unknown) => plain.destroy(readable(error)))
  return readParts(plain)
}

/** Errors of zlib mean that the content is not whole. */
function readable(error: unknown): Error {
  if (error instanceof TtsError) return error
  return 'syscall' in (error as object)
    ? cannotRead('the backup', error)
    : new TtsError('configuration', 'the backup is damaged or incomplete', {
        check: 'backup_damaged',
        cause: error,
      })
}

const noHeader = (): TtsError =>
  new TtsError('configuration', 'the backup has no header', { check: 'backup_damaged' })

function summaryOf(
  { createdAt }: BackupHeader,
  files: readonly BackupFile[],
  rows: ReadonlyMap<string, number>,
): BackupSummary {
  return { createdAt, files: files.map(({ path }) => path), rows: Object.fromEntries(rows) }
}

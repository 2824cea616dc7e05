/**
 * Backs up and restores an installation as one file: the records, the CA, the SSH CA and the master keys, which belong
 * together, encrypted to a passphrase. A backup can be restored into the other kind of database.
 */
import { existsSync } from 'node:fs'
import { type FileHandle, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createGzip } from 'node:zlib'
import { TtsError } from '../base/errors.ts'
import type { StoreSettings } from '../config/store-schema.ts'
import { isPublicFile } from '../files/data-directory.ts'
import { makeDirectory } from '../files/directory.ts'
import { cannotRead } from '../files/file-errors.ts'
import { otherPlaces } from '../files/roll-over-files.ts'
import { createPrivateFile, readPrivateFile } from '../files/private-file.ts'
import { openSnapshot, restoreRows, type BackupRow } from '../store/table-backup.ts'
import {
  type BackupFile,
  type BackupHeader,
  type BackupPart,
  readParts,
  writeParts,
} from './content.ts'
import { decryptBackup, encryptBackup } from './encryption.ts'

/** What is backed up, and where it is restored to. */
export interface BackupPlace {
  readonly dataDirectory: string
  /** `path` is absolute. */
  readonly database: StoreSettings
  /** File of the master keys; undefined: they are a value of the configuration. */
  readonly masterKeyFile: string | undefined
}

/** What a backup holds. */
export interface BackupSummary {
  readonly createdAt: string
  readonly files: readonly string[]
  readonly rows: Readonly<Record<string, number>>
}

const MASTER_KEYS = 'master-keys'
const DIRECTORIES = ['ca', 'ssh-ca'] as const
const MAX_FILE_BYTES = 1024 * 1024

/**
 * Writes a backup to a stream.
 *
 * @throws {TtsError} `configuration` (a file cannot be read, or there are no records yet), `store_unavailable`
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

/** Adds the master keys that were removed from their file meanwhile. */
function withAllKeys(files: BackupFile[], before: readonly BackupFile[]): BackupFile[] {
  const linesOf = (data: Buffer): string[] => data.toString('utf8').trimEnd().split('\n')
  const earlier = before.find(({ path }) => path === MASTER_KEYS)
  return files.map((file) => {
    if (file.path !== MASTER_KEYS || earlier === undefined) return file
    const lines = linesOf(file.data)
    const removed = linesOf(earlier.data).filter((line) => !lines.includes(line))
    return { ...file, data: Buffer.from(`${[...lines, ...removed].join('\n')}\n`) }
  })
}

async function readFiles({ dataDirectory, masterKeyFile }: BackupPlace): Promise<BackupFile[]> {
  const files: BackupFile[] = []
  const others = (await otherPlaces(dataDirectory)).map((other) => other.place)
  for (const directory of [...DIRECTORIES, ...others])
    for (const name of await namesIn(join(dataDirectory, directory)))
      files.push(await readOne(`${directory}/${name}`, join(dataDirectory, directory, name)))
  if (masterKeyFile !== undefined) files.push(await readOne(MASTER_KEYS, masterKeyFile))
  return files
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true })
    return entries.filter((entry) => entry.isFile()).map(({ name }) => name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw cannotRead(directory, error)
  }
}

async function readOne(path: string, from: string): Promise<BackupFile> {
  if (isPublicFile(path)) return { path, mode: 0o644, data: await readFile(from) }
  const data = await readPrivateFile(from, { maxBytes: MAX_FILE_BYTES, readers: 'root_for_group' })
  return { path, mode: 0o600, data }
}

/**
 * Reads a whole backup without restoring it, and so checks that it is complete.
 *
 * @throws {TtsError} `configuration` (not a backup, wrong passphrase, damaged)
 */
export async function verifyBackup(backup: FileHandle, passphrase: string): Promise<BackupSummary> {
  const files: BackupFile[] = []
  const rows = new Map<string, number>()
  let header: BackupHeader | undefined
  for await (const part of partsOf(backup, passphrase)) {
    if ('header' in part) header = part.header
    else if ('file' in part) files.push(part.file)
    else rows.set(part.row.table, (rows.get(part.row.table) ?? 0) + 1)
  }
  if (header === undefined) throw noHeader()
  return summaryOf(header, files, rows)
}

/**
 * Restores a backup into an empty database and a data directory without CA and master keys. The backup is verified to
 * its end first, so a damaged one changes nothing.
 *
 * @throws {TtsError} `conflict`, check `not_empty`; `configuration`; `store_unavailable`
 */
export async function restoreBackup(
  place: BackupPlace,
  backup: FileHandle,
  passphrase: string,
): Promise<BackupSummary> {
  const summary = await verifyBackup(backup, passphrase)
  await refuseFilled(place)
  const parts = partsOf(backup, passphrase)
  const first = await parts.next()
  if (first.done === true || !('header' in first.value)) throw noHeader()
  const { schema } = first.value.header
  const files: BackupFile[] = []
  async function* rows(): AsyncGenerator<BackupRow> {
    for await (const part of parts) {
      if ('file' in part) files.push(part.file)
      else if ('row' in part) yield part.row
    }
  }
  await restoreRows(place.database, schema, rows())
  // After the records: without its files, the service refuses to start with them, and says what is missing.
  for (const file of files) await writeOne(place, file)
  return summary
}

async function refuseFilled({ dataDirectory, masterKeyFile }: BackupPlace): Promise<void> {
  const present: string[] = []
  for (const directory of DIRECTORIES)
    if ((await namesIn(join(dataDirectory, directory))).length > 0)
      present.push(join(dataDirectory, directory))
  if (masterKeyFile !== undefined && existsSync(masterKeyFile)) present.push(masterKeyFile)
  if (present.length === 0) return
  throw new TtsError(
    'conflict',
    `there is ${present.join(' and ')} already; nothing was restored`,
    {
      check: 'not_empty',
      remedy:
        'Move these files away, or set data_dir to an empty directory. They are never overwritten.',
    },
  )
}

async function writeOne(place: BackupPlace, { path, mode, data }: BackupFile): Promise<void> {
  if (path === MASTER_KEYS) {
    if (place.masterKeyFile !== undefined) await createPrivateFile(place.masterKeyFile, data)
    return
  }
  // A backup is encrypted by us, but a path of it must still not lead elsewhere.
  const [, directory, name] =
    /^(ca|ssh-ca|ca-next|ca-former\/[0-9a-f]{8})\/([\w-][\w.-]*)$/.exec(path) ?? []
  if (directory === undefined || name === undefined)
    throw new TtsError('configuration', `the backup has the unknown file ${path}`)
  await makeDirectory(join(place.dataDirectory, directory), 0o700)
  await createPrivateFile(join(place.dataDirectory, directory, name), data, { mode })
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

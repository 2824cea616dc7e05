/** The state in a directory: one encrypted file per record, replaced atomically, and one file per lock. */
import type { Stats } from 'node:fs'
import { lstat, readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { TtsError } from '../../base/errors.ts'
import { fileErrorRemedy } from '../../base/system-error.ts'
import { fileError } from '../../files/file-errors.ts'
import { type Directory, makeDirectory, withDirectory } from '../../files/directory.ts'
import { readPrivateFile, writePrivateFileIn } from '../../files/private-file.ts'
import { groupRemedy, modeForOthers } from '../../files/trusted-group.ts'
import { type FileLock, tryFileLock } from '../../files/file-lock.ts'
import { loadStateKey, openRecord, sealRecord } from './state-key.ts'
import type { RecordName, StateLock, StateOptions, StateStore } from './state-store.ts'

const MAX_RECORD_BYTES = 32 * 1024 * 1024

export interface FileStateOptions {
  readonly directory: string
  readonly keyFile: string
  readonly cluster: string
  /** Numeric id of the user who must own the directory. */
  readonly uid: number
  /** Whether to create a missing directory and key. */
  readonly mayCreate: boolean
}

/**
 * Opens the state in its directory. A missing directory is created with mode 0700.
 *
 * @throws {TtsError} `configuration` when other users can access the directory, its files or the key
 */
export async function openFileState(options: FileStateOptions): Promise<StateStore> {
  const { directory, cluster, keyFile, mayCreate } = options
  await ensurePrivateDirectory(options)
  const mayCreateKey = mayCreate && !(await hasRecords(directory))
  const sealing = { cluster, key: await loadStateKey(keyFile, mayCreateKey) }
  const fileName = (record: RecordName): string => `${cluster}.${record}.sealed`
  const path = (record: RecordName): string => join(directory, fileName(record))
  // Checked at each use: the owner of the parent directory can replace this directory.
  const inDirectory = async <Result>(
    work: (opened: Directory) => Promise<Result>,
  ): Promise<Result> =>
    withDirectory(directory, async (opened) => {
      refuseShared(await opened.file.stat(), options)
      return work(opened)
    }).catch((error: unknown) => {
      throw error instanceof TtsError ? error : unusable(directory, error)
    })
  const write = async (record: RecordName, content: Uint8Array): Promise<void> =>
    inDirectory(async (opened) =>
      writePrivateFileIn(
        { directory: opened, name: fileName(record) },
        sealRecord(sealing, record, content),
      ),
    )
  const remove = async (record: RecordName): Promise<void> =>
    inDirectory(async (opened) => removeFile(opened.entry(fileName(record)), path(record)))
  return {
    read: async (record) => readRecord(path(record), record, sealing),
    version: async (record) => fileVersion(path(record)),
    deposit: async (content, record = 'incoming') => write(record, content),
    tryLock: async (name) =>
      inDirectory(async (opened) => {
        const lock = `${cluster}.${name}.lock`
        const held = tryFileLock(opened.entry(lock), { shownPath: join(directory, lock) })
        return held && lockState(held, { write, remove })
      }),
    close: async () => undefined,
  }
}

type Writing = Pick<StateLock, 'write' | 'remove'>

function lockState(held: FileLock, writing: Writing): StateLock {
  return {
    ...writing,
    // The kernel does not take a lock away from a live process.
    lost: new AbortController().signal,
    check: async () => undefined,
    release: async () => held.release(),
  }
}

async function readRecord(
  path: string,
  record: RecordName,
  sealing: StateOptions,
): Promise<Buffer | undefined> {
  try {
    const sealed = await readPrivateFile(path, { maxBytes: MAX_RECORD_BYTES })
    return openRecord(sealing, record, sealed)
  } catch (error) {
    if (error instanceof TtsError && error.code === 'not_found') return undefined
    throw error
  }
}

/** Each write creates a new file, so the inode changes; ctime and size cover an inode that is used again. */
async function fileVersion(path: string): Promise<string | undefined> {
  const stats = await stat(path, { bigint: true }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unusable(path, error)
  })
  return stats && `${stats.ino}.${stats.ctimeNs}.${stats.size}`
}

async function removeFile(at: string, path: string): Promise<void> {
  await unlink(at).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw unusable(path, error)
  })
}

async function hasRecords(directory: string): Promise<boolean> {
  return (await readdir(directory)).some((name) => name.endsWith('.sealed'))
}

async function ensurePrivateDirectory(options: FileStateOptions): Promise<void> {
  const { directory, mayCreate } = options
  const created = mayCreate ? createMissing(directory) : Promise.resolve()
  const stats = await created
    .then(async () => lstat(directory))
    .catch((error: unknown) => {
      throw error instanceof TtsError ? error : unusable(directory, error)
    })
  refuseShared(stats, options)
}

/** Does not follow a symbolic link: `refuseShared` reports it. */
async function createMissing(directory: string): Promise<void> {
  const stats = await lstat(directory).catch(() => undefined)
  if (stats?.isSymbolicLink() !== true) await makeDirectory(directory, 0o700)
}

function refuseShared(
  stats: Pick<Stats, 'isDirectory' | 'mode' | 'uid' | 'gid'>,
  { directory, uid }: FileStateOptions,
): void {
  const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0')
  const problem = (message: string, remedy: string): TtsError =>
    new TtsError('configuration', `state.directory: ${directory} ${message}`, {
      check: 'file_mode',
      remedy,
    })
  if (!stats.isDirectory())
    throw problem(
      'is a symbolic link or a file, and must be a directory',
      'Name the directory itself.',
    )
  if (stats.uid !== uid) throw problem('belongs to another user', 'Name a directory of your own.')
  if ((modeForOthers(stats) & 0o077) !== 0)
    throw problem(
      `can be accessed by other users than its owner (mode ${mode})`,
      `Run chmod 700 '${directory}', or name a new directory inside it, which is created private.${(stats.mode & 0o007) === 0 ? groupRemedy(stats.gid) : ''}`,
    )
}

function unusable(path: string, cause: unknown): TtsError {
  const remedy = fileErrorRemedy(cause)
  return fileError(`the state in ${path} cannot be used`, cause, {
    check: 'state_directory',
    remedy: `${remedy === undefined ? '' : `${remedy} `}state.directory (--state) must be a directory that this user can write.`,
  })
}

/** The state in a directory: one encrypted file for each record, replaced atomically, and a file for each lock. */
import type { Stats } from 'node:fs'
import { lstat, readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { TtsError } from '../../base/errors.ts'
import { type Directory, makeDirectory, withDirectory } from '../../files/directory.ts'
import { readPrivateFile, writePrivateFileIn } from '../../files/private-file.ts'
import { type FileLock, tryFileLock } from '../../files/file-lock.ts'
import { loadStateKey, openRecord, sealRecord } from './state-key.ts'
import type { RecordName, StateLock, StateOptions, StateStore } from './state-store.ts'

const MAX_RECORD_BYTES = 32 * 1024 * 1024

/** Where the state is. */
export interface FileStateOptions {
  readonly directory: string
  readonly keyFile: string
  readonly cluster: string
  /** Numeric id of the user: the directory must be theirs. */
  readonly uid: number
  /** Whether directory and key are made when there are none. */
  readonly mayCreate: boolean
}

/**
 * Opens the state in its directory, which is made 0700 when there is none.
 *
 * @throws {TtsError} `configuration` when others can reach the directory, its files or the key
 */
export async function openFileState(options: FileStateOptions): Promise<StateStore> {
  const { directory, cluster, keyFile, mayCreate } = options
  await ensurePrivateDirectory(options)
  const mayCreateKey = mayCreate && (await isNew(directory))
  const sealing = { cluster, key: await loadStateKey(keyFile, mayCreateKey) }
  const fileName = (record: RecordName): string => `${cluster}.${record}.sealed`
  const path = (record: RecordName): string => join(directory, fileName(record))
  // Looked at each time: who owns the directory above can put another one in its place.
  const inside = async <Result>(work: (opened: Directory) => Promise<Result>): Promise<Result> =>
    withDirectory(directory, async (opened) => {
      refuseShared(await opened.file.stat(), options)
      return work(opened)
    }).catch((error: unknown) => {
      throw error instanceof TtsError ? error : unusable(directory, error)
    })
  const write = async (record: RecordName, content: Uint8Array): Promise<void> =>
    inside(async (opened) =>
      writePrivateFileIn(
        { directory: opened, name: fileName(record) },
        sealRecord(sealing, record, content),
      ),
    )
  const remove = async (record: RecordName): Promise<void> =>
    inside(async (opened) => removeFile(opened.entry(fileName(record)), path(record)))
  return {
    read: async (record) => readRecord(path(record), record, sealing),
    version: async (record) => fileVersion(path(record)),
    deposit: async (content, record = 'incoming') => write(record, content),
    tryLock: async (name) =>
      inside(async (opened) => {
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
    // The kernel takes no lock from a living process.
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

/** Each write makes a new file: its inode tells, and with it the times for one that is used again. */
async function fileVersion(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unusable(path, error)
  })
  return found && `${found.ino}.${found.ctimeNs}.${found.size}`
}

async function removeFile(at: string, path: string): Promise<void> {
  await unlink(at).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw unusable(path, error)
  })
}

async function isNew(directory: string): Promise<boolean> {
  return !(await readdir(directory)).some((name) => name.endsWith('.sealed'))
}

async function ensurePrivateDirectory(options: FileStateOptions): Promise<void> {
  const { directory, mayCreate } = options
  const made = mayCreate ? makeMissing(directory) : Promise.resolve()
  const found = await made
    .then(async () => lstat(directory))
    .catch((error: unknown) => {
      throw error instanceof TtsError ? error : unusable(directory, error)
    })
  refuseShared(found, options)
}

/** A link in its place is refused by its own words, whoever made it. */
async function makeMissing(directory: string): Promise<void> {
  const found = await lstat(directory).catch(() => undefined)
  if (found?.isSymbolicLink() !== true) await makeDirectory(directory, 0o700)
}

function refuseShared(
  found: Pick<Stats, 'isDirectory' | 'mode' | 'uid'>,
  { directory, uid }: FileStateOptions,
): void {
  const mode = (found.mode & 0o7777).toString(8).padStart(4, '0')
  const complain = (message: string, remedy: string): TtsError =>
    new TtsError('configuration', `state.directory: ${directory} ${message}`, {
      check: 'file_mode',
      remedy,
    })
  if (!found.isDirectory())
    throw complain('is no directory, but a link or a file', 'Name the directory itself.')
  if (found.uid !== uid)
    throw complain('belongs to another user', 'Name a directory of your own, or one inside it.')
  if ((found.mode & 0o077) !== 0)
    throw complain(
      `can be reached by others than its owner (mode ${mode})`,
      `Run chmod 700 '${directory}', or name a directory inside it, which certcache makes private.`,
    )
}

function unusable(path: string, cause: unknown): TtsError {
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error'
  return new TtsError('configuration', `the state cannot be kept in ${path} (${code})`, {
    check: 'state_directory',
    remedy: 'Set state.directory to a directory that this user can write.',
    cause,
  })
}

/** The state in a directory: one encrypted file for each record, replaced atomically, and a file for each lock. */
import { lstat, mkdir, readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { TtsError } from '../../errors.ts'
import { readPrivateFile, writePrivateFile } from '../../files/private-file.ts'
import { tryFileLock } from '../../files/file-lock.ts'
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
  const path = (record: RecordName): string => join(directory, `${cluster}.${record}.sealed`)
  const write = async (record: RecordName, content: Uint8Array): Promise<void> =>
    writePrivateFile(path(record), sealRecord(sealing, record, content))
  return {
    read: async (record) => readRecord(path(record), record, sealing),
    version: async (record) => fileVersion(path(record)),
    deposit: async (content, record = 'incoming') => write(record, content),
    tryLock: async (name) => lockState(join(directory, `${cluster}.${name}.lock`), { write, path }),
    close: async () => undefined,
  }
}

interface Writing {
  write(record: RecordName, content: Uint8Array): Promise<void>
  path(record: RecordName): string
}

function lockState(path: string, writing: Writing): StateLock | undefined {
  const held = tryFileLock(path)
  if (held === undefined) return undefined
  return {
    // The kernel takes no lock from a living process.
    lost: new AbortController().signal,
    check: async () => undefined,
    write: async (record, content) => writing.write(record, content),
    remove: async (record) => removeFile(writing.path(record)),
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

async function removeFile(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw unusable(path, error)
  })
}

async function isNew(directory: string): Promise<boolean> {
  return !(await readdir(directory)).some((name) => name.endsWith('.sealed'))
}

async function ensurePrivateDirectory(options: FileStateOptions): Promise<void> {
  const { directory, uid, mayCreate } = options
  const made = mayCreate ? mkdir(directory, { recursive: true, mode: 0o700 }) : Promise.resolve()
  const found = await made
    .then(async () => lstat(directory))
    .catch((error: unknown) => {
      throw unusable(directory, error)
    })
  const mode = (found.mode & 0o7777).toString(8).padStart(4, '0')
  const complain = (message: string, remedy: string): TtsError =>
    new TtsError('configuration', `state.directory: ${directory} ${message}`, {
      check: 'file_mode',
      remedy,
    })
  if (!found.isDirectory())
    throw complain('is no directory, but a link or a file', 'name the directory itself')
  if (found.uid !== uid)
    throw complain('belongs to another user', 'name a directory of your own, or one inside it')
  if ((found.mode & 0o077) !== 0)
    throw complain(
      `can be reached by others than its owner (mode ${mode})`,
      `chmod 700 '${directory}', or name a directory inside it: it is made private`,
    )
}

function unusable(path: string, cause: unknown): TtsError {
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error'
  return new TtsError('configuration', `the state cannot be kept in ${path} (${code})`, {
    check: 'state_directory',
    remedy: 'name a directory that this user can write, with state.directory',
    cause,
  })
}

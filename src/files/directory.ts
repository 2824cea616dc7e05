/**
 * An open directory whose entries are reached through its descriptor. Files are created, renamed and removed in
 * exactly this directory, even if somebody moves it away meanwhile and puts a link in its place. Node has no
 * openat(2); on Linux the path `/proc/self/fd/<number>/<name>` has the same effect.
 *
 * Root opens a path one directory after the other, and follows a symbolic link only in a directory that only root can
 * change. So no other user can redirect root's files, modes and owners. Other users open paths in the usual way: the
 * kernel enforces their rights.
 */
import { constants } from 'node:fs'
import { mkdir, open, readdir } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { TtsError } from '../base/errors.ts'
import {
  descriptorPath,
  DIRECTORY_FLAGS,
  hasDescriptorPath,
  isSafeForRoot,
  type OpenedDirectory,
  openPathAsRoot,
} from './directory-path.ts'
import { makePath } from './make-path.ts'

/** An open directory. */
export interface Directory {
  /** The path as given, for messages. */
  readonly path: string
  /** Handle for chmod, chown, stat and sync of the directory itself. */
  readonly file: FileHandle
  /** True when the call that opened it also created it. */
  readonly isNew: boolean
  /** True when we are root and other users can replace root's files in the directory. */
  readonly isExposed: boolean
  /** Returns the path of an entry. Use it only with calls that do not follow a link in the last component. */
  entry(name: string): string
  close(): Promise<void>
}

export interface DirectoryOptions {
  /** Permission bits of missing directories, which are then created; undefined: they are not created. */
  readonly make?: number
}

/**
 * Opens a directory. The caller must close it.
 *
 * @throws {TtsError} `configuration`, check `symbolic_link` (a link that root must not follow) or `directory` (not
 *   safe for root without /proc)
 * @throws the system's error
 */
export async function openDirectory(
  path: string,
  { make }: DirectoryOptions = {},
): Promise<Directory> {
  if (process.geteuid?.() !== 0) return asDirectory(path, await openAsUser(path, make), false)
  const opened = await openPathAsRoot(path, make)
  return asDirectory(path, opened, !isSafeForRoot(await opened.file.stat()))
}

/** Opens a directory, runs `work`, and closes it. @throws as `openDirectory`; what `work` throws */
export async function withDirectory<Result>(
  path: string,
  work: (directory: Directory) => Promise<Result>,
  options: DirectoryOptions = {},
): Promise<Result> {
  const directory = await openDirectory(path, options)
  try {
    return await work(directory)
  } finally {
    await directory.close()
  }
}

/** The same for the directory of a file. @throws as `withDirectory` */
export async function inDirectoryOf<Result>(
  path: string,
  work: (directory: Directory, name: string) => Promise<Result>,
): Promise<Result> {
  return withDirectory(dirname(path), async (directory) => work(directory, basename(path)))
}

/** Creates a directory and its missing parents. @throws as `openDirectory` */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  await withDirectory(path, async () => undefined, { make: mode })
}

/**
 * Creates a directory in an open one and opens it.
 *
 * @throws {TtsError} `configuration`, check `replaced` (another user put something else in its place)
 * @throws the system's error
 */
export async function makeSubdirectory(
  parent: Directory,
  name: string,
  mode: number,
): Promise<Directory> {
  await mkdir(parent.entry(name), { mode })
  const created = await openSubdirectory(parent, name)
  const { uid } = await created.file.stat()
  // A directory that another user moved here belongs to that user, or is one of root's with entries.
  if (uid === process.geteuid?.() && (await readdir(created.entry('.'))).length === 0)
    return { ...created, isNew: true }
  await created.close()
  throw replacedError(created.path)
}

/** Opens a directory in an open one, without following a link. @throws the system's error */
export async function openSubdirectory(parent: Directory, name: string): Promise<Directory> {
  const file = await open(parent.entry(name), DIRECTORY_FLAGS | constants.O_NOFOLLOW)
  const at = (await hasDescriptorPath(file)) ? descriptorPath(file) : parent.entry(name)
  return asDirectory(join(parent.path, name), { file, isNew: false, at }, parent.isExposed)
}

/** Returns the error for a file that another user replaced while it was written. */
export function replacedError(path: string): TtsError {
  return new TtsError(
    'configuration',
    `${path} was replaced by another user while it was written`,
    {
      check: 'replaced',
      remedy: 'Name a directory that only root and the owner of the file can write.',
    },
  )
}

async function openAsUser(path: string, make: number | undefined): Promise<OpenedDirectory> {
  const isNew = make === undefined ? false : await makePath(path, make)
  const file = await open(path, DIRECTORY_FLAGS)
  const at = (await hasDescriptorPath(file)) ? descriptorPath(file) : path
  return { file, isNew, at }
}

function asDirectory(
  path: string,
  { file, isNew, at }: OpenedDirectory,
  isExposed: boolean,
): Directory {
  const entry = (name: string): string => `${at}/${name}`
  return { path, file, isNew, isExposed, entry, close: async () => file.close() }
}

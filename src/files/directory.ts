/**
 * A directory that is held open, and whose entries are reached through its descriptor: what is made, renamed or removed is
 * in this very directory, even when somebody moves it away meanwhile and puts a link in its place. Node has no openat(2);
 * on Linux `/proc/self/fd/<number>/<name>` is looked up in the open directory in the same way.
 *
 * Root opens a path one directory after the other, and follows a symbolic link only out of a directory that root alone
 * can change. So no other user can lead root's files, modes and owners elsewhere. Other users open a path as
 * they always did: the kernel lets them do no more than they may.
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

/** An open directory. */
export interface Directory {
  /** As it was named: for messages. */
  readonly path: string
  /** For chmod, chown, stat and sync of the directory itself. */
  readonly file: FileHandle
  /** True when it was made by the call that opened it. */
  readonly isNew: boolean
  /** True when we are root, and other users can replace what root makes in the directory. */
  readonly isExposed: boolean
  /** Path of an entry, for calls that follow no link in the last component. */
  entry(name: string): string
  close(): Promise<void>
}

export interface DirectoryOptions {
  /** Permission bits of directories that are made where there are none; undefined: none is made. */
  readonly make?: number
}

/**
 * Opens a directory; who opens it closes it.
 *
 * @throws {TtsError} `configuration` with check `symbolic_link` for a link that root does not follow, `directory` where
 *   there is no /proc and root would not be safe
 * @throws the system's error when there is none or it cannot be opened
 */
export async function openDirectory(
  path: string,
  { make }: DirectoryOptions = {},
): Promise<Directory> {
  if (process.geteuid?.() !== 0) return asDirectory(path, await openAsUser(path, make), false)
  const opened = await openPathAsRoot(path, make)
  return asDirectory(path, opened, !isSafeForRoot(await opened.file.stat()))
}

/** Does something in a directory, and closes it. @throws as `openDirectory`, and what the work throws */
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

/** The same for the directory that a file is in. @throws as `withDirectory` */
export async function inDirectoryOf<Result>(
  path: string,
  work: (directory: Directory, name: string) => Promise<Result>,
): Promise<Result> {
  return withDirectory(dirname(path), async (directory) => work(directory, basename(path)))
}

/** Makes a directory, and those above it, where there is none. @throws as `openDirectory` */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  await withDirectory(path, async () => undefined, { make: mode })
}

/**
 * Makes a directory in an open one and opens it.
 *
 * @throws {TtsError} `configuration` with check `replaced` when another user put something else in its place
 * @throws the system's error
 */
export async function makeSubdirectory(
  parent: Directory,
  name: string,
  mode: number,
): Promise<Directory> {
  await mkdir(parent.entry(name), { mode })
  const made = await openSubdirectory(parent, name)
  const { uid } = await made.file.stat()
  // What another user moved to this name is theirs, or a directory of root's that has something in it.
  if (uid === process.geteuid?.() && (await readdir(made.entry('.'))).length === 0)
    return { ...made, isNew: true }
  await made.close()
  throw replacedError(made.path)
}

/** Opens a directory in an open one; a link is not followed. @throws the system's error */
export async function openSubdirectory(parent: Directory, name: string): Promise<Directory> {
  const file = await open(parent.entry(name), DIRECTORY_FLAGS | constants.O_NOFOLLOW)
  const at = (await hasDescriptorPath(file)) ? descriptorPath(file) : parent.entry(name)
  return asDirectory(join(parent.path, name), { file, isNew: false, at }, parent.isExposed)
}

/** For what another user exchanged while it was written. */
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
  const made = make === undefined ? undefined : await mkdir(path, { recursive: true, mode: make })
  const file = await open(path, DIRECTORY_FLAGS)
  const at = (await hasDescriptorPath(file)) ? descriptorPath(file) : path
  return { file, isNew: made !== undefined, at }
}

function asDirectory(
  path: string,
  { file, isNew, at }: OpenedDirectory,
  isExposed: boolean,
): Directory {
  const entry = (name: string): string => `${at}/${name}`
  return { path, file, isNew, isExposed, entry, close: async () => file.close() }
}

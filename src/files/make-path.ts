/**
 * Creates directories with their missing parents. Node's `mkdir` with `recursive` never ends when a file system answers
 * ENOENT although the parent exists, as /proc does; here each directory is tried once.
 */
import { mkdirSync, statSync } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { TtsError } from '../base/errors.ts'

/**
 * Creates a directory and its missing parents.
 *
 * @param mode permission bits of the new directories
 * @returns whether the directory is new
 * @throws {TtsError} `configuration`, check `directory` (the file system has no place for new directories)
 * @throws the system's error
 */
export async function makePath(path: string, mode: number): Promise<boolean> {
  const directory = resolve(path)
  let failure = await attempt(async () => mkdir(directory, { mode }))
  if (failure?.code === 'ENOENT' && directory !== dirname(directory)) {
    await makePath(dirname(directory), mode)
    failure = await attempt(async () => mkdir(directory, { mode }))
    if (failure?.code === 'ENOENT') throw noRoomForDirectories(directory, failure)
  }
  if (failure === undefined) return true
  // `mkdir` reports EROFS and EACCES also for a directory that exists.
  if ((await stat(directory).catch(() => undefined))?.isDirectory() === true) return false
  throw failure
}

/** The same, synchronously. @throws as `makePath` */
export function makePathSync(path: string, mode: number): boolean {
  const directory = resolve(path)
  let failure = attemptSync(() => mkdirSync(directory, { mode }))
  if (failure?.code === 'ENOENT' && directory !== dirname(directory)) {
    makePathSync(dirname(directory), mode)
    failure = attemptSync(() => mkdirSync(directory, { mode }))
    if (failure?.code === 'ENOENT') throw noRoomForDirectories(directory, failure)
  }
  if (failure === undefined) return true
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return false
  throw failure
}

/** Returns the error for a directory whose parent exists and has no place for it. */
export function noRoomForDirectories(path: string, cause: unknown): TtsError {
  return new TtsError(
    'configuration',
    `${path} cannot be created: the file system of its parent accepts no new directories`,
    { check: 'directory', remedy: 'Name a directory on a disk.', cause },
  )
}

async function attempt(make: () => Promise<unknown>): Promise<NodeJS.ErrnoException | undefined> {
  return make().then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error,
  )
}

function attemptSync(make: () => unknown): NodeJS.ErrnoException | undefined {
  try {
    make()
    return undefined
  } catch (error) {
    return error as NodeJS.ErrnoException
  }
}

/**
 * A lock between processes that no dead one leaves behind: an SQLite file on which an exclusive transaction is open. The
 * lock is the kernel's (fcntl) and goes with the process, kill -9 included.
 *
 * Such locks go too when this process closes any descriptor of the file. So the file is opened by SQLite alone.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { TtsError } from '../base/errors.ts'

/** A file lock that is held. */
export interface FileLock {
  release(): void
}

export interface FileLockOptions {
  /** Whether its directory is made where there is none. Default false. */
  readonly makeDirectory?: boolean
  /** What messages call it, where the path goes through an open directory. Default: the path. */
  readonly shownPath?: string
}

/**
 * The lock, or undefined when somebody holds it. The file is made private when there is none, and is never to be removed while
 * it may be in use.
 *
 * @throws {TtsError} `configuration` when there can be no lock at this path
 */
export function tryFileLock(path: string, options: FileLockOptions = {}): FileLock | undefined {
  let database: DatabaseSync | undefined
  try {
    if (options.makeDirectory) mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    makeFile(path)
    database = new DatabaseSync(path, { timeout: 0 })
    // Nothing is ever written: a full disk does not keep the lock from being taken.
    database.exec('pragma journal_mode = memory; begin exclusive')
  } catch (error) {
    database?.close()
    if (isBusy(error)) return undefined
    throw new TtsError('configuration', `the lock ${options.shownPath ?? path} cannot be used`, {
      check: 'file_lock',
      remedy:
        'Put it on a file system that supports locks, and make it writable. Remove the file if it is not a lock of this program.',
      cause: error,
    })
  }
  const held = database
  return { release: () => held.close() }
}

/** With `wx` an existing file is not opened. */
function makeFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && /database is locked|SQLITE_BUSY/.test(error.message)
}

/**
 * A lock between processes: an exclusive transaction on an SQLite file. It uses a lock of the kernel (fcntl), which
 * ends with the process, even after kill -9.
 *
 * Such a lock also ends when the process closes any descriptor of the file, so only SQLite may open the file.
 */
import { closeSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { TtsError } from '../base/errors.ts'
import { makePathSync } from './make-path.ts'

/** A held file lock. */
export interface FileLock {
  release(): void
}

export interface FileLockOptions {
  /** Whether to create a missing directory. Default false. */
  readonly makeDirectory?: boolean
  /** Path to show in messages, if `path` goes through an open directory. Default: the path. */
  readonly shownPath?: string
}

/**
 * Takes the lock; returns undefined if another process holds it. Creates a missing file with mode 0600. The file must
 * not be removed while it may be in use.
 *
 * @throws {TtsError} `configuration`, check `file_lock` (a lock is not possible at this path)
 */
export function tryFileLock(path: string, options: FileLockOptions = {}): FileLock | undefined {
  let database: DatabaseSync | undefined
  try {
    if (options.makeDirectory) makePathSync(dirname(path), 0o700)
    makeFile(path)
    database = new DatabaseSync(path, { timeout: 0 })
    // Nothing is written, so the lock can be taken on a full disk.
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

/** Creates the file. `wx` does not open an existing one, which would break its lock on close. */
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

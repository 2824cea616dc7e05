import { constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Kysely } from 'kysely'
import { createMutex } from '../../base/async.ts'
import { TtsError } from '../../base/errors.ts'
import { makePath } from '../../files/make-path.ts'
import { refuseSharedMode } from '../../files/private-file.ts'
import { explainDatabaseFault } from '../../network/database-faults.ts'
import { createFileLocks } from './file-locks.ts'
import { createLocalLocks, type NamedLocks } from '../named-locks.ts'
import { openSqliteConnection, type SqliteConnection } from './sqlite-connection.ts'
import { retryWhileBusy, sqliteDialect } from './sqlite-driver.ts'
import type { Database, Tables } from '../schema/tables.ts'

/**
 * How long SQLite itself waits for another process; after that the driver tries again until the store's own deadline.
 */
const BUSY_TIMEOUT_MS = 5

/** Memory for pages of each connection. The default of 2 MiB holds not even the indexes that every record changes. */
const CACHE_KIB = 32 * 1024

/**
 * Opens the SQLite file, made private from its first byte if there is none.
 *
 * @throws TtsError `configuration` when it cannot be opened or others can read it.
 */
export async function openSqlite(path: string, timeoutMs: number): Promise<Database> {
  await ensurePrivateDatabaseFile(path)
  const writer = await openConnection(path, timeoutMs)
  const reader = await openConnection(path, timeoutMs).catch(async (error: unknown) => {
    await writer.close()
    throw error
  })
  await reader.execute('pragma query_only = on')
  // Callers take turns on the writing connection, so that no statement slips into another caller's transaction.
  const turns = createMutex()
  const writes = new Kysely<Tables>({ dialect: sqliteDialect(writer, timeoutMs, turns) })
  const reads = new Kysely<Tables>({ dialect: sqliteDialect(reader, timeoutMs) })
  const transact: Database['transact'] = (statements, check) =>
    turns.run(() => retryWhileBusy(() => writer.transact(statements, check), timeoutMs))
  const destroy = async (): Promise<void> => {
    await reads.destroy()
    await writes.destroy()
    // Kysely closes nothing when it was never used.
    await reader.close()
    await writer.close()
  }
  const locks = localLocksOf(path)
  // Between a service and the next one, which may run side by side for a moment.
  const refreshLocks = createFileLocks(join(dirname(path), 'custody-locks'))
  return { kind: 'sqlite', reads, writes, timeoutMs, locks, refreshLocks, transact, destroy }
}

/** Shared by all stores of a process on this file: while a configuration is reloaded, there are two. */
function localLocksOf(path: string): NamedLocks {
  const locks = localLocks.get(path) ?? createLocalLocks()
  localLocks.set(path, locks)
  return locks
}

const localLocks = new Map<string, NamedLocks>()

/**
 * SQLite gives -wal and -shm the mode of the database file, so its mode alone matters. An existing file is looked at
 * by stat and never opened: closing any descriptor of it would drop the locks of this process (POSIX fcntl).
 */
async function ensurePrivateDatabaseFile(path: string): Promise<void> {
  try {
    await makePath(dirname(path), 0o700)
    const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants
    const file = await open(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR, 0o600)
    await file.close()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw cannotOpen(path, error)
  }
  const found = await stat(path).catch((error: unknown) => {
    throw cannotOpen(path, error)
  })
  if (!found.isFile()) throw cannotOpen(path, new Error('not a plain file'))
  refuseSharedMode(path, found)
}

async function openConnection(path: string, timeoutMs: number): Promise<SqliteConnection> {
  const connection = openSqliteConnection(path, BUSY_TIMEOUT_MS)
  try {
    await retryWhileBusy(() => connection.execute('pragma journal_mode = wal'), timeoutMs)
    // FULL: a commit is on the disk when it returns, not only at the next checkpoint.
    await connection.execute('pragma synchronous = full')
    await connection.execute('pragma foreign_keys = on')
    await connection.execute(`pragma cache_size = ${-CACHE_KIB}`)
    return connection
  } catch (error) {
    await connection.close().catch(() => undefined)
    throw cannotOpen(path, error)
  }
}

function cannotOpen(path: string, cause: unknown): TtsError {
  if (cause instanceof TtsError) return cause
  return new TtsError('configuration', `the database ${path} cannot be opened`, {
    remedy:
      explainDatabaseFault(cause, { url: 'store.url', path: 'store.path' }) ??
      'Check store.path: a file on a local disk, in a directory that the service may write.',
    cause,
  })
}

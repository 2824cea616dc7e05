import { TtsError } from '../base/errors.ts'
import { explainDatabaseFault } from '../network/database-faults.ts'

const SQLITE_BUSY = 5
const SQLITE_TOOBIG = 18
const SQLITE_CONSTRAINT = 19
const SQLITE_MISMATCH = 20
const SQLITE_CONSTRAINT_PRIMARYKEY = 1555
const SQLITE_CONSTRAINT_UNIQUE = 2067

/** True when another connection holds SQLite's lock: the statement may be tried again. */
export function isBusy(error: unknown): boolean {
  const code = sqliteCode(error)
  return code !== undefined && (code & 0xff) === SQLITE_BUSY
}

/** True when the database refused the data itself, so that other rows may well be accepted. */
export function isDataError(error: unknown): boolean {
  const sqlite = sqliteCode(error)
  if (sqlite !== undefined) {
    return [SQLITE_CONSTRAINT, SQLITE_TOOBIG, SQLITE_MISMATCH].includes(sqlite & 0xff)
  }
  // PostgreSQL appendix A: 22 data exception, 23 integrity constraint violation, 54 program limit exceeded.
  return /^(22|23|54)/.test(sqlState(error) ?? '')
}

/** The store's own error for whatever a database library threw. */
export function storeError(error: unknown): TtsError {
  if (error instanceof TtsError) return error
  if (isDuplicate(error)) {
    return new TtsError('conflict', 'the record already exists', {
      check: 'duplicate_record',
      cause: error,
    })
  }
  if (isDataError(error) || isProgramError(error)) {
    return new TtsError('internal', 'the database refused a record', { cause: error })
  }
  return storeUnavailable(error)
}

/** The error for a database that cannot be reached or written, or does not answer in time. */
export function storeUnavailable(cause?: unknown): TtsError {
  return new TtsError('store_unavailable', 'the database is not available', {
    retryAfterSeconds: 1,
    remedy:
      explainDatabaseFault(cause, { url: 'store.url', path: 'store.path' }) ??
      'Check that the database runs, that its disk is not full, and that store.path or store.url is right.',
    cause,
  })
}

/** The error of every call on a store that was closed. */
export function closedStore(): TtsError {
  return new TtsError('shutting_down', 'the database is closed', { retryAfterSeconds: 1 })
}

function isDuplicate(error: unknown): boolean {
  const sqlite = sqliteCode(error)
  return (
    sqlite === SQLITE_CONSTRAINT_PRIMARYKEY ||
    sqlite === SQLITE_CONSTRAINT_UNIQUE ||
    sqlState(error) === '23505'
  )
}

/** A mistake of this program, not of the database: SQLite's generic error, PostgreSQL's class 42 but for rights. */
function isProgramError(error: unknown): boolean {
  const state = sqlState(error)
  return (
    sqliteCode(error) === 1 ||
    (state?.startsWith('42') === true && state !== '42501') ||
    error instanceof TypeError
  )
}

function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined
  return typeof error.errcode === 'number' ? error.errcode : undefined
}

function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' && /^[0-9A-Z]{5}$/.test(error.code) ? error.code : undefined
}

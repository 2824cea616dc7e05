/**
 * The spool: encrypted answers of refresh helpers, one file each, until they are stored in the database or the state.
 * A file is named after its owner (a delegation or a cluster) and a digest of its key. The key is stored with the
 * refresh token that was sent.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { TtsError } from '../base/errors.ts'
import { fileErrorReason, isMachineFault } from '../base/system-error.ts'
import { makeDirectory } from '../files/directory.ts'
import { tryFileLock } from '../files/file-lock.ts'
import { createPrivateFile, readPrivateFile } from '../files/private-file.ts'
import { openBytes, sealBytes } from '../sealing/aes-gcm.ts'

/** One attempt to use a refresh token. */
export interface Attempt {
  /** Owner of the refresh token. */
  readonly owner: string
  /** Key that encrypts the answer; 32 random bytes, base64url. Secret. */
  readonly key: string
}

/** The answer of a token endpoint. */
export interface TokenAnswer {
  readonly status: number
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
}

/** The content of a spool file. */
export interface SpooledAnswer {
  readonly answer: TokenAnswer
  /** Time of the answer, ISO 8601. */
  readonly at: string
  /** The form of the request. */
  readonly body: string
}

const ID_FILE = 'id'
const MAX_FILE_BYTES = 2 * 1024 * 1024

export const newKey = (): string => randomBytes(32).toString('base64url')

/** Encrypts an answer with the key of its attempt. */
export function sealAnswer(key: string, content: SpooledAnswer): Buffer {
  return sealBytes(sealing(key), Buffer.from(JSON.stringify(content)))
}

function sealing(key: string): { readonly key: Buffer; readonly associatedData: Buffer } {
  return { key: Buffer.from(key, 'base64url'), associatedData: Buffer.from('refresh spool v1') }
}

/** Returns the path of the spool file of an attempt. */
export function spoolPath(directory: string, { owner, key }: Attempt): string {
  const digest = createHash('sha256').update(`refresh spool\0${key}`).digest('hex').slice(0, 32)
  return join(directory, `${encodeURIComponent(owner)}.${digest}`)
}

/** Returns the path of the file that reserves disk space for the answer. */
export const roomPath = (spoolFile: string): string => `${spoolFile}.room`

/** Returns the path of the lock that a helper holds from before it sends its request until its answer is written. */
export const lockPath = (spoolFile: string): string => `${spoolFile}.lock`

/**
 * Opens the spool, and creates its directory if necessary. Returns its name, which tells it from the spools of other
 * replicas.
 *
 * @throws {TtsError} `configuration`, check `refresh_spool` (the directory cannot be used); `overloaded`, check
 * `refresh_helper` (a fault of the machine that can pass, such as a full disk)
 */
export async function openSpool(directory: string): Promise<string> {
  await makeDirectory(directory, 0o700).catch((cause: unknown) => {
    throw unusable(directory, cause)
  })
  const path = join(directory, ID_FILE)
  await createPrivateFile(path, randomUUID()).catch((error: unknown) => {
    if (!(error instanceof TtsError && error.code === 'conflict')) throw unusable(directory, error)
  })
  return (await readPrivateFile(path, { maxBytes: 100 })).toString('utf8')
}

/** Whether a helper is running for the attempt. Removes the files of a helper that was killed. */
export async function isAtWork(path: string): Promise<boolean> {
  // A helper removes its lock file when it ends.
  if (!existsSync(lockPath(path))) return false
  const lock = tryFileLock(lockPath(path))
  if (lock === undefined) return true
  lock.release()
  for (const left of [lockPath(path), roomPath(path)]) await rm(left, { force: true })
  return false
}

/** Returns the answer to an attempt; undefined when there is none that this key decrypts. */
export async function readAnswer(path: string, key: string): Promise<SpooledAnswer | undefined> {
  const sealed = await readPrivateFile(path, { maxBytes: MAX_FILE_BYTES }).catch(
    (error: unknown) => {
      if (error instanceof TtsError && error.code === 'not_found') return undefined
      throw error
    },
  )
  if (sealed === undefined) return undefined
  try {
    return JSON.parse(openBytes(sealing(key), sealed).toString('utf8')) as SpooledAnswer
  } catch {
    return undefined
  }
}

/** Removes the answers to all attempts of one owner. */
export async function removeAnswers(directory: string, owner: string): Promise<void> {
  for (const name of await namesIn(directory))
    if (ownerOf(name) === owner) await rm(join(directory, name), { force: true })
}

/** Returns the owners of the answers in the spool. */
export async function ownersIn(directory: string): Promise<readonly string[]> {
  const owners = (await namesIn(directory)).map(ownerOf)
  return [...new Set(owners.filter((owner) => owner !== undefined))]
}

async function namesIn(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw unusable(directory, error)
  })
}

function ownerOf(name: string): string | undefined {
  const [, owner] = /^(.+)\.[0-9a-f]{32}$/.exec(name) ?? []
  return owner === undefined ? undefined : decodeURIComponent(owner)
}

function unusable(directory: string, cause: unknown): TtsError {
  const reason = cause instanceof TtsError ? cause.message : fileErrorReason(cause)
  if (isMachineFault(cause))
    return new TtsError('overloaded', 'renewal is not possible at the moment', {
      check: 'refresh_helper',
      retryAfterSeconds: 5,
      remedy: `Mend the machine: the refresh spool ${directory} cannot be used: ${reason}`,
      cause,
    })
  return new TtsError('configuration', `the refresh spool ${directory} cannot be used: ${reason}`, {
    check: 'refresh_spool',
    remedy:
      'Make it a directory that this user can write and no other user can reach, in data_dir of the service or state.directory of certcache.',
    cause,
  })
}

/** Checks what exists at the path of an output: whether it may be replaced, and whether it is already up to date. */
import { constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { TtsError } from '../../base/errors.ts'
import { systemErrorCode } from '../../base/system-error.ts'
import type { Directory } from '../../files/directory.ts'
import type { OutputSettings } from '../settings/proxy-settings.ts'
import { groupId, userId } from './accounts.ts'
import { outputRemedy } from './room.ts'

/** At most this much of a file is compared with the new content. */
const MAX_COMPARED_BYTES = 512 * 1024

/** Owner of the files. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

/** An entry of an open directory: `at` is its path through the open directory, `path` its path for messages. */
export interface OutputTarget {
  readonly at: string
  readonly path: string
}

export function targetIn(directory: Directory, name: string): OutputTarget {
  return { at: directory.entry(name), path: join(directory.path, name) }
}

/** Returns the configured owner, or undefined for the current user. @throws {TtsError} `configuration` */
export async function ownerOf({ owner, group }: OutputSettings): Promise<Owner | undefined> {
  if (owner === undefined && group === undefined) return undefined
  const uid = owner === undefined ? (process.getuid?.() ?? 0) : await userId(owner)
  const gid = group === undefined ? (process.getgid?.() ?? 0) : await groupId(group)
  return { uid, gid }
}

/**
 * Tells whether the file exists. If it does, it must be a plain file of ours or of `owner`, and either empty or PEM.
 *
 * @throws {TtsError} `configuration` with check `foreign_file`
 */
export async function checkTarget(
  { at, path }: OutputTarget,
  owner: Owner | undefined,
): Promise<boolean> {
  const stats = await stat(at).catch(() => undefined)
  if (stats === undefined) return false
  if (!stats.isFile())
    throw foreignFile(
      path,
      'is not a plain file',
      'Name a file that does not exist yet, or remove this one.',
    )
  const isOurs = [process.getuid?.(), owner?.uid].includes(stats.uid)
  if (!isOurs)
    throw foreignFile(
      path,
      `belongs to another user (uid ${stats.uid})`,
      `Remove it, or set owner: ${stats.uid} for this output if the proxy is for that user.`,
    )
  if (stats.size > 0 && !(await startsLikePem(at)))
    throw foreignFile(path, 'is not a proxy file', 'Name another path, or remove the file.')
  return true
}

async function startsLikePem(path: string): Promise<boolean> {
  const start = await readStart(path, 64).catch(() => undefined)
  // A file that cannot be read counts as foreign: ours can be read.
  return start?.toString('latin1').startsWith('-----BEGIN ') ?? false
}

/** Tells whether the file has this content, mode and owner. */
export async function isUpToDate(
  { at }: OutputTarget,
  expected: {
    readonly content: string | Buffer
    readonly mode: number
    readonly owner: Owner | undefined
  },
): Promise<boolean> {
  const stats = await stat(at).catch(() => undefined)
  if (stats === undefined || (stats.mode & 0o7777) !== expected.mode) return false
  const { owner } = expected
  if (owner && (stats.uid !== owner.uid || stats.gid !== owner.gid)) return false
  const content = await readStart(at, MAX_COMPARED_BYTES).catch(() => undefined)
  return content?.equals(Buffer.from(expected.content)) ?? false
}

/** Reads the first bytes of a file. O_NONBLOCK: opening a FIFO must not hang. */
async function readStart(path: string, maxBytes: number): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const buffer = Buffer.alloc(maxBytes)
    const { bytesRead } = await file.read(buffer, 0, maxBytes, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

/**
 * Returns the error for a file that certcache must not replace. `problem` completes the sentence that begins with the
 * path.
 */
export function foreignFile(path: string, problem: string, remedy: string): TtsError {
  return new TtsError('configuration', `${path} ${problem}; it is not replaced`, {
    check: 'foreign_file',
    remedy,
  })
}

/** Rethrows a file system error with its remedy. @throws {TtsError} `configuration` */
export function rethrowWithRemedy(error: unknown): never {
  if (!(error instanceof TtsError) || systemErrorCode(error.cause) === undefined) throw error
  const remedy = outputRemedy(error.cause)
  throw new TtsError(error.code, error.message, {
    check: error.check ?? 'output',
    ...(remedy === undefined ? {} : { remedy }),
    cause: error.cause,
  })
}

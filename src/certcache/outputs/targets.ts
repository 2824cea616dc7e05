/** What stands where a proxy is to be written: whether it may be replaced, and whether it is what is wanted already. */
import { constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { TtsError } from '../../base/errors.ts'
import type { Directory } from '../../files/directory.ts'
import type { OutputSettings } from '../settings/proxy-settings.ts'
import { groupId, userId } from './accounts.ts'
import { codeOf, remedies } from './room.ts'

/** Files are compared with what is to be written up to this length. */
const MAX_COMPARED_BYTES = 512 * 1024

/** Who gets the files. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

/** A name in an open directory: `at` is where it is looked up, `path` what messages call it. */
export interface OutputTarget {
  readonly at: string
  readonly path: string
}

/** The entry of a directory. */
export function targetIn(directory: Directory, name: string): OutputTarget {
  return { at: directory.entry(name), path: join(directory.path, name) }
}

/** Undefined: who writes them. @throws {TtsError} `configuration` */
export async function ownerOf({ owner, group }: OutputSettings): Promise<Owner | undefined> {
  if (owner === undefined && group === undefined) return undefined
  const uid = owner === undefined ? (process.getuid?.() ?? 0) : await userId(owner)
  const gid = group === undefined ? (process.getgid?.() ?? 0) : await groupId(group)
  return { uid, gid }
}

/**
 * Whether there is a file, which then must be one that may be replaced: a proxy or nothing in it, and not somebody else's.
 *
 * @throws {TtsError} `configuration` with check `foreign_file`
 */
export async function checkTarget(
  { at, path }: OutputTarget,
  owner: Owner | undefined,
): Promise<boolean> {
  const found = await stat(at).catch(() => undefined)
  if (found === undefined) return false
  if (!found.isFile())
    throw foreign(path, 'is no plain file', 'name a file that does not exist yet, or remove it')
  const ours = [process.getuid?.(), owner?.uid].includes(found.uid)
  if (!ours)
    throw foreign(
      path,
      `belongs to another user (number ${found.uid})`,
      `remove it, or set owner: ${found.uid} for this output if it is theirs to have`,
    )
  if (found.size > 0 && !(await beginsLikePem(at)))
    throw foreign(path, 'is no proxy file', 'Name another path, or remove it.')
  return true
}

async function beginsLikePem(path: string): Promise<boolean> {
  const begin = await readStart(path, 64).catch(() => undefined)
  // What cannot be read cannot be told from something else; our own files can.
  return begin?.toString('latin1').startsWith('-----BEGIN ') ?? false
}

/** Whether the file has this content, mode and owner. */
export async function isAsWanted(
  { at }: OutputTarget,
  wanted: {
    readonly content: string | Buffer
    readonly mode: number
    readonly owner: Owner | undefined
  },
): Promise<boolean> {
  const found = await stat(at).catch(() => undefined)
  if (found === undefined || (found.mode & 0o7777) !== wanted.mode) return false
  const { owner } = wanted
  if (owner && (found.uid !== owner.uid || found.gid !== owner.gid)) return false
  const content = await readStart(at, MAX_COMPARED_BYTES).catch(() => undefined)
  return content?.equals(Buffer.from(wanted.content)) ?? false
}

/** The first bytes of a file. A FIFO in its place must not hang us. */
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

/** Something that is not ours to replace. */
export function foreign(path: string, what: string, remedy: string): TtsError {
  return new TtsError('configuration', `${path} ${what}; it is left as it is`, {
    check: 'foreign_file',
    remedy,
  })
}

/** Gives an error of the file system its remedy. @throws {TtsError} `configuration` */
export function explain(error: unknown): never {
  if (!(error instanceof TtsError) || error.remedy !== undefined) throw error
  const remedy = remedies[codeOf(error.cause)]
  throw new TtsError(error.code, error.message, {
    check: error.check ?? 'output',
    ...(remedy === undefined ? {} : { remedy }),
    cause: error.cause,
  })
}

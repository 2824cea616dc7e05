import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { link, lstat, open, rename, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { TtsError } from '../base/errors.ts'
import { groupRemedy, modeForOthers } from './trusted-group.ts'
import { type Directory, inDirectoryOf, replacedError } from './directory.ts'
import { fileError } from './file-errors.ts'
import { refuseUnsafeTarget } from './output-file.ts'

/** Options for writing a private file. */
export interface PrivateFileOptions {
  /** Permission bits of the finished file; default 0o600. While it is written they are always 0600. */
  readonly mode?: number
  /** Owner, set before the file gets its name; needs root. */
  readonly owner?: { readonly uid: number; readonly gid: number }
}

/**
 * Writes a private file atomically: readers see the complete old or new file, even after a crash or on a full disk.
 *
 * @throws {TtsError} `configuration`, check `symbolic_link` (the path is a link), `not_plain_file` (a device, pipe,
 *   socket or directory), `replaced` (by another user), or none (the path cannot be written)
 */
export async function writePrivateFile(
  path: string,
  data: string | Uint8Array,
  options: PrivateFileOptions = {},
): Promise<void> {
  await writeAt(path, { data, options, publish: replace })
}

/**
 * Replaces a private file that exists, and keeps its mode. Its owner stays the same, too: an operator may run this as
 * root for a service that runs as another user.
 *
 * @throws {TtsError} `not_found`; as `writePrivateFile`
 */
export async function replacePrivateFile(path: string, data: string | Uint8Array): Promise<void> {
  const { uid, gid, mode } = await lstat(path).catch((error: unknown) =>
    fail(error, path, 'opened'),
  )
  const isOurs = process.geteuid?.() !== 0 || uid === 0
  const owner = isOurs ? {} : { owner: { uid, gid } }
  await writePrivateFile(path, data, { mode: mode & 0o777, ...owner })
}

/** The same in an open directory. @throws as `writePrivateFile` */
export async function writePrivateFileIn(
  { directory, name }: Place,
  data: string | Uint8Array,
  options: PrivateFileOptions = {},
): Promise<void> {
  await writeBeside({ directory, name }, { data, options, publish: replace })
}

/**
 * Writes a private file that must not exist yet. Of several concurrent callers exactly one succeeds.
 *
 * @throws {TtsError} `conflict`, check `file_exists`; `configuration` (the path cannot be written)
 */
export async function createPrivateFile(
  path: string,
  data: string | Uint8Array,
  options: PrivateFileOptions = {},
): Promise<void> {
  await writeAt(path, { data, options, publish: create })
}

/** Options for reading a file with a secret. */
export interface SecretFileOptions {
  readonly maxBytes: number
  /**
   * Who may read the file. Default `owner`. `root_for_group`: also the group of a file of root, see
   * `refuseSharedSecret`.
   */
  readonly readers?: 'owner' | 'root_for_group'
}

/**
 * Reads a file with a secret. Follows symbolic links, because mounted secrets are links.
 *
 * @throws {TtsError} `not_found`
 * @throws {TtsError} `configuration`, check `file_mode` (group or others can read it), or none (not a plain file, or
 *   longer than `maxBytes`)
 */
export async function readPrivateFile(path: string, options: SecretFileOptions): Promise<Buffer> {
  // O_NONBLOCK: opening a FIFO must not hang; it is refused below.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK
  const file = await open(path, flags).catch((error: unknown) => fail(error, path, 'opened'))
  try {
    const found = await checkedStat(file, path)
    const { size } = found
    if (options.readers === 'root_for_group') refuseSharedSecret(path, found)
    else refuseSharedMode(path, found)
    if (size > options.maxBytes) throw tooLong(path, options.maxBytes)
    return await readBounded(file, path, { size, maxBytes: options.maxBytes })
  } finally {
    await file.close()
  }
}

/**
 * Refuses permission bits that let group or others read or change a file. The trusted group may, see trusted-group.ts.
 *
 * @throws {TtsError} `configuration`, check `file_mode`, naming the file, its mode and the command that fixes it
 */
export function refuseSharedMode(
  path: string,
  { mode, gid }: { readonly mode: number; readonly gid: number },
): void {
  if ((modeForOthers({ mode, gid }) & 0o077) === 0) return
  const found = (mode & 0o7777).toString(8).padStart(4, '0')
  throw new TtsError(
    'configuration',
    `${path} can be used by others than its owner (mode ${found})`,
    {
      check: 'file_mode',
      remedy: `Run chmod 600 '${path}'.${(mode & 0o007) === 0 ? groupRemedy(gid) : ''}`,
    },
  )
}

/**
 * The same for a secret that an operator gives to a program: a file of root may also be readable by its group, which
 * only root can choose. Kubernetes mounts secrets in this way (defaultMode 0440 with fsGroup), systemd passes
 * credentials so (LoadCredential: the group bits are the mask of an ACL for the one user), and packages install files
 * so (root:certcache 0640). Refused are all such files of another owner, files that the group can change, and files
 * that others can read.
 *
 * @throws {TtsError} `configuration`, check `file_mode`, naming the file, its mode and the command that fixes it
 */
export function refuseSharedSecret(
  path: string,
  { mode, uid, gid }: { readonly mode: number; readonly uid: number; readonly gid: number },
): void {
  if (uid === 0 && (mode & 0o037) === 0) return
  try {
    refuseSharedMode(path, { mode, gid })
  } catch (error) {
    if (!(error instanceof TtsError) || uid !== 0 || process.getuid?.() === 0) throw error
    // With mode 0600 a file of root would be unreadable for us.
    throw new TtsError(error.code, error.message, {
      check: 'file_mode',
      remedy: `Run chmod 640 '${path}', with a group that only this program has. For a Kubernetes secret, set defaultMode: 0440 and an fsGroup.`,
    })
  }
}

/** A name in an open directory. */
interface Place {
  readonly directory: Directory
  readonly name: string
}

interface Writing {
  readonly data: string | Uint8Array
  readonly options: PrivateFileOptions
  /** Renames or links the finished temporary file to its name. */
  readonly publish: (place: Place, temporary: string) => Promise<void>
}

async function replace({ directory, name }: Place, temporary: string): Promise<void> {
  await refuseUnsafeTarget(directory, name)
  await rename(directory.entry(temporary), directory.entry(name))
}

/** link(2) fails if the name exists, so it never replaces a file, and the name appears with complete content. */
async function create({ directory, name }: Place, temporary: string): Promise<void> {
  await link(directory.entry(temporary), directory.entry(name))
  await unlink(directory.entry(temporary))
}

async function writeAt(path: string, writing: Writing): Promise<void> {
  try {
    await inDirectoryOf(path, async (directory, name) => writeBeside({ directory, name }, writing))
  } catch (error) {
    fail(error, path, 'written')
  }
}

async function writeBeside(place: Place, { data, options, publish }: Writing): Promise<void> {
  const { directory, name } = place
  const path = join(directory.path, name)
  const temporary = `.tts-${randomBytes(9).toString('base64url')}.tmp`
  try {
    const file = await writeTemporary(directory.entry(temporary), data, options)
    try {
      await publish(place, temporary)
      if (directory.isExposed) await checkPublished(file, directory.entry(name), path)
    } finally {
      await file.close()
    }
    await directory.file.sync()
  } catch (error) {
    await unlink(directory.entry(temporary)).catch(() => undefined)
    fail(error, path, 'written')
  }
}

/** Returns the finished file, still open, so that its inode number cannot be reused for another file. */
async function writeTemporary(
  temporary: string,
  data: string | Uint8Array,
  options: PrivateFileOptions,
): Promise<FileHandle> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  const file = await open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  try {
    await file.writeFile(data)
    if (options.owner !== undefined) await file.chown(options.owner.uid, options.owner.gid)
    // Always set, because an unusual umask may have removed bits of the owner.
    await file.chmod(options.mode ?? 0o600)
    await file.sync()
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Others who can write to the directory could replace the temporary file before it gets its name. */
async function checkPublished(file: FileHandle, entry: string, path: string): Promise<void> {
  const [written, found] = await Promise.all([file.stat(), lstat(entry).catch(() => undefined)])
  if (found?.ino !== written.ino || found.dev !== written.dev) throw replacedError(path)
}

async function checkedStat(
  file: FileHandle,
  path: string,
): Promise<{ mode: number; size: number; uid: number; gid: number }> {
  const found = await file.stat()
  if (!found.isFile()) throw new TtsError('configuration', `${path} is not a plain file`)
  return found
}

/** Uses only as much memory as the file has bytes: the limit may be far higher. */
async function readBounded(
  file: FileHandle,
  path: string,
  { size, maxBytes }: { readonly size: number; readonly maxBytes: number },
): Promise<Buffer> {
  // One byte more than expected reveals a file that has grown since.
  let buffer = Buffer.alloc(size + 1)
  let length = 0
  for (;;) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length)
    if (bytesRead === 0) return buffer.subarray(0, length)
    length += bytesRead
    if (length > maxBytes) throw tooLong(path, maxBytes)
    if (length === buffer.length) buffer = Buffer.concat([buffer], 2 * length)
  }
}

function tooLong(path: string, maxBytes: number): TtsError {
  return new TtsError('configuration', `${path} is longer than ${maxBytes} bytes`)
}

function fail(error: unknown, path: string, verb: string): never {
  if (error instanceof TtsError) throw error
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'EEXIST') {
    throw new TtsError('conflict', `${path} already exists`, { check: 'file_exists', cause: error })
  }
  if (code === 'ENOENT' && verb === 'opened') {
    throw new TtsError('not_found', `there is no file ${path}`, { cause: error })
  }
  throw fileError(`${path} cannot be ${verb}`, error)
}

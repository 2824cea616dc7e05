import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { link, lstat, open, rename, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { TtsError } from '../base/errors.ts'
import { type Directory, inDirectoryOf, replacedError } from './directory.ts'

/** How a private file is written. */
export interface PrivateFileOptions {
  /** Permission bits of the finished file, default 0o600. While it is written it is 0600 in any case. */
  readonly mode?: number
  /** Given to this user and group before it appears under its name; needs root. */
  readonly owner?: { readonly uid: number; readonly gid: number }
}

/**
 * Writes a file that nobody else can read, whole or not at all: readers see the old file or the new one, also after a
 * crash or on a full disk.
 *
 * @throws TtsError `configuration` when the path is a symbolic link or cannot be written, or when another user replaced it.
 */
export async function writePrivateFile(
  path: string,
  data: string | Uint8Array,
  options: PrivateFileOptions = {},
): Promise<void> {
  await writeAt(path, { data, options, publish: replace })
}

/** The same in a directory that is open already. @throws as `writePrivateFile` */
export async function writePrivateFileIn(
  { directory, name }: Place,
  data: string | Uint8Array,
  options: PrivateFileOptions = {},
): Promise<void> {
  await writeBeside({ directory, name }, { data, options, publish: replace })
}

/**
 * Writes a private file that must not exist yet; of several callers at once exactly one succeeds.
 *
 * @throws TtsError `conflict` with check `file_exists` when there is a file; `configuration` when it cannot be written.
 */
export async function createPrivateFile(
  path: string,
  data: string | Uint8Array,
  options: PrivateFileOptions = {},
): Promise<void> {
  await writeAt(path, { data, options, publish: create })
}

/** How a file with a secret is read. */
export interface SecretFileOptions {
  readonly maxBytes: number
  /** Default `owner`. `root_for_group`: a file that root hands to a group is private enough, see `refuseSharedSecret`. */
  readonly readers?: 'owner' | 'root_for_group'
}

/**
 * Reads a file that holds a secret. Symbolic links are followed (mounted secrets are links).
 *
 * @throws TtsError `not_found` when there is none; `configuration` when group or others can read it, when it is not a
 * plain file or longer than `maxBytes`.
 */
export async function readPrivateFile(path: string, options: SecretFileOptions): Promise<Buffer> {
  // O_NONBLOCK: opening a FIFO must not hang; it is refused below.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK
  const file = await open(path, flags).catch((error: unknown) => fail(error, path, 'opened'))
  try {
    const found = await checkedStat(file, path)
    const { size } = found
    if (options.readers === 'root_for_group') refuseSharedSecret(path, found)
    else refuseSharedMode(path, found.mode)
    if (size > options.maxBytes) throw tooLong(path, options.maxBytes)
    return await readBounded(file, path, { size, maxBytes: options.maxBytes })
  } finally {
    await file.close()
  }
}

/**
 * Refuses permission bits by which group or others could read or change a file.
 *
 * @throws TtsError `configuration` naming the file, its mode and the command that fixes it.
 */
export function refuseSharedMode(path: string, mode: number): void {
  if ((mode & 0o077) === 0) return
  const found = (mode & 0o7777).toString(8).padStart(4, '0')
  throw new TtsError(
    'configuration',
    `${path} can be used by others than its owner (mode ${found})`,
    {
      check: 'file_mode',
      remedy: `Run chmod 600 '${path}'.`,
    },
  )
}

/**
 * The same for a secret that an operator hands to a program: a file of root's may also be read by its group, which nobody but
 * root chose. So Kubernetes mounts secrets (defaultMode 0440 with fsGroup), so systemd does (LoadCredential: the group bits
 * are the mask of an ACL that names the one user), and so packages install files (root:certcache 0640). Files of any other
 * owner, files that the group may change, and whatever others can read are refused.
 *
 * @throws TtsError `configuration` naming the file, its mode and the command that fixes it.
 */
export function refuseSharedSecret(
  path: string,
  { mode, uid }: { readonly mode: number; readonly uid: number },
): void {
  if (uid === 0 && (mode & 0o037) === 0) return
  try {
    refuseSharedMode(path, mode)
  } catch (error) {
    if (!(error instanceof TtsError) || uid !== 0 || process.getuid?.() === 0) throw error
    // 0600 of root's would keep us out.
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
  /** Gives the finished temporary file its name. */
  readonly publish: (place: Place, temporary: string) => Promise<void>
}

async function replace({ directory, name }: Place, temporary: string): Promise<void> {
  await refuseSymbolicLink(directory.entry(name), join(directory.path, name))
  await rename(directory.entry(temporary), directory.entry(name))
}

/** link(2) fails when the name is taken, so an existing file is never replaced, and the name appears with whole content. */
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

/** The finished file, still open: its number cannot be used again for another one. */
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
    // Always: an unusual umask may have taken the owner's own bits away.
    await file.chmod(options.mode ?? 0o600)
    await file.sync()
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Who can write in the directory can put another file in the place of the temporary one before it has its name. */
async function checkPublished(file: FileHandle, entry: string, path: string): Promise<void> {
  const [written, found] = await Promise.all([file.stat(), lstat(entry).catch(() => undefined)])
  if (found?.ino !== written.ino || found.dev !== written.dev) throw replacedError(path)
}

async function refuseSymbolicLink(entry: string, path: string): Promise<void> {
  const found = await lstat(entry).catch(() => undefined)
  if (found?.isSymbolicLink() === true) {
    throw new TtsError(
      'configuration',
      `${path} is a symbolic link; a secret is not written through links`,
      {
        check: 'symbolic_link',
        remedy: 'Name the file itself, or remove the link.',
      },
    )
  }
}

async function checkedStat(
  file: FileHandle,
  path: string,
): Promise<{ mode: number; size: number; uid: number }> {
  const found = await file.stat()
  if (!found.isFile()) throw new TtsError('configuration', `${path} is not a plain file`)
  return found
}

/** Takes no more memory than the file has bytes: the bound may be far above. */
async function readBounded(
  file: FileHandle,
  path: string,
  { size, maxBytes }: { readonly size: number; readonly maxBytes: number },
): Promise<Buffer> {
  // One byte more than expected shows a file that grew after it was measured.
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
    throw new TtsError('conflict', `${path} exists already`, { check: 'file_exists', cause: error })
  }
  if (code === 'ENOENT' && verb === 'opened') {
    throw new TtsError('not_found', `there is no file ${path}`, { cause: error })
  }
  throw new TtsError('configuration', `${path} cannot be ${verb} (${code ?? 'unknown error'})`, {
    cause: error,
  })
}

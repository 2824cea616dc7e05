/** Reads and writes trust-anchor directories. */
import { randomBytes } from 'node:crypto'
import { lstat, open, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { MAX_CRL_BYTES } from '../../ca/crl.ts'
import type { TrustAnchorFile } from '../../ca/trust-anchors.ts'
import type { DirectoryFile } from '../../ca/trust-directory.ts'
import { fileErrorReason } from '../base/system-error.ts'
import { type Directory, withDirectory } from './directory.ts'

/** Maximum number of files in a directory. The one of all IGTF CAs has about 900. */
export const MAX_DIRECTORY_FILES = 5000
/** Larger files are not read. The limit fits a CRL in PEM with some text. */
export const MAX_DIRECTORY_FILE_BYTES = 1.5 * MAX_CRL_BYTES
/** Maximum size of all files together. */
export const MAX_DIRECTORY_BYTES = 5 * MAX_CRL_BYTES

const fileName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$/

/**
 * Writes the files, and replaces each existing one by rename, so that a relying party always reads the complete old
 * or new file. Leaves other files alone. Creates a missing directory (0755); files are 0644.
 *
 * @throws {TypeError} a file name is not a plain name
 * @throws {TtsError} `configuration` (root would follow another user's link)
 * @throws the system's error
 */
export async function writeTrustAnchorDirectory(
  directory: string,
  files: readonly TrustAnchorFile[],
): Promise<void> {
  for (const file of files) {
    const names = 'linkTo' in file ? [file.name, file.linkTo] : [file.name]
    if (!names.every((name) => fileName.test(name)))
      throw new TypeError('trust-anchor files must have plain names')
  }
  await withDirectory(
    directory,
    async (opened) => {
      // Like the files, a directory that we create must be readable for others whatever the umask is. If it is not
      // empty, somebody else has put it there.
      if (opened.isNew && (await readdir(opened.entry('.'))).length === 0)
        await opened.file.chmod(0o755)
      for (const file of files) await writeEntry(opened, file)
    },
    { make: 0o755 },
  )
}

async function writeEntry(directory: Directory, file: TrustAnchorFile): Promise<void> {
  // In the same directory, because rename does not cross file systems. The dot hides it from programs that look for
  // HASH.0.
  const temporary = directory.entry(`.${file.name}.${randomBytes(6).toString('hex')}`)
  try {
    if ('linkTo' in file) await symlink(file.linkTo, temporary)
    else await writeWhole(temporary, file.content)
    await rename(temporary, directory.entry(file.name))
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

async function writeWhole(path: string, content: string): Promise<void> {
  const handle = await open(path, 'wx', 0o644)
  try {
    await handle.writeFile(content)
    // Set despite the umask: the files are public, and relying parties run as other users.
    await handle.chmod(0o644)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Reads the files of a directory, sorted by name. Follows links; skips sub-directories. A file that cannot be read, or
 * is too large, is returned with the reason, because others may not depend on it.
 *
 * @throws {RangeError} too many files, or too many bytes in total
 */
export async function readTrustAnchorDirectory(
  directory: string,
): Promise<readonly DirectoryFile[]> {
  const names = (await readdir(directory)).filter((name) => !name.startsWith('.')).sort()
  if (names.length > MAX_DIRECTORY_FILES)
    throw new RangeError(`the directory has more than ${MAX_DIRECTORY_FILES} files`)
  const files: DirectoryFile[] = []
  let total = 0
  for (const name of names) {
    const path = join(directory, name)
    const size = await fileSize(path)
    if (size === undefined) continue
    if (size > MAX_DIRECTORY_FILE_BYTES) {
      const problem = `it is larger than ${MAX_DIRECTORY_FILE_BYTES / 1024 / 1024} MiB`
      files.push({ name, content: Buffer.alloc(0), problem })
      continue
    }
    total += size
    if (total > MAX_DIRECTORY_BYTES)
      throw new RangeError(`the files of the directory have more than ${MAX_DIRECTORY_BYTES} bytes`)
    files.push(
      await readFile(path).then(
        (content) => ({ name, content }),
        (error: unknown) => ({ name, content: Buffer.alloc(0), problem: fileErrorReason(error) }),
      ),
    )
  }
  return files
}

/**
 * Returns the size of a regular file or of the target of a link; undefined for anything else, including a dangling
 * link.
 */
async function fileSize(path: string): Promise<number | undefined> {
  const entry = await lstat(path)
  const target = entry.isSymbolicLink() ? await stat(path).catch(() => undefined) : entry
  return target?.isFile() ? target.size : undefined
}

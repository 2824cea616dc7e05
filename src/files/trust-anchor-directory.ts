/** Trust-anchor directories on disk. */
import { randomBytes } from 'node:crypto'
import { lstat, open, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { MAX_CRL_BYTES } from '../../ca/crl.ts'
import type { TrustAnchorFile } from '../../ca/trust-anchors.ts'
import type { DirectoryFile } from '../../ca/trust-directory.ts'
import { type Directory, withDirectory } from './directory.ts'

/** Files that are read from a directory, at most; that of all IGTF has about 900. */
export const MAX_DIRECTORY_FILES = 5000
/** Largest file that is read: a CRL in PEM, with room for text. */
export const MAX_DIRECTORY_FILE_BYTES = 1.5 * MAX_CRL_BYTES
/** All files together. */
export const MAX_DIRECTORY_BYTES = 5 * MAX_CRL_BYTES

const fileName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$/

/**
 * Writes the files over what is there, each one whole by rename, so that a relying party that reads meanwhile finds the old
 * or the new. Nothing else in the directory is touched. The directory is made when it is not there (0755); files are 0644.
 *
 * @throws {TypeError} for a file name that is not a plain one
 * @throws {TtsError} `configuration` for a directory that root reaches by another user's link
 * @throws the system's error
 */
export async function writeTrustAnchorDirectory(
  directory: string,
  files: readonly TrustAnchorFile[],
): Promise<void> {
  for (const file of files) {
    const names = 'linkTo' in file ? [file.name, file.linkTo] : [file.name]
    if (!names.every((name) => fileName.test(name)))
      throw new TypeError('trust-anchor files have plain names')
  }
  await withDirectory(
    directory,
    async (opened) => {
      // As with the files: what we make is for others to read, also where the umask hides what a process makes. One that is
      // not empty was put there by somebody else.
      if (opened.isNew && (await readdir(opened.entry('.'))).length === 0)
        await opened.file.chmod(0o755)
      for (const file of files) await writeEntry(opened, file)
    },
    { make: 0o755 },
  )
}

async function writeEntry(directory: Directory, file: TrustAnchorFile): Promise<void> {
  // In the same directory, since rename does not cross file systems; the dot hides it from those who look for HASH.0.
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
    // Whatever the umask: these are public, and relying parties run as other users.
    await handle.chmod(0o644)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Reads the files of a directory, links followed, sorted by name; sub-directories and what is too large are left out.
 *
 * @throws {RangeError} when there are too many files, or they are too large together
 */
export async function readTrustAnchorDirectory(
  directory: string,
): Promise<readonly DirectoryFile[]> {
  const names = (await readdir(directory)).filter((name) => !name.startsWith('.')).sort()
  if (names.length > MAX_DIRECTORY_FILES)
    throw new RangeError(`there are over ${MAX_DIRECTORY_FILES} files in the directory`)
  const files: DirectoryFile[] = []
  let total = 0
  for (const name of names) {
    const path = join(directory, name)
    const size = await fileSize(path)
    if (size === undefined || size > MAX_DIRECTORY_FILE_BYTES) continue
    total += size
    if (total > MAX_DIRECTORY_BYTES)
      throw new RangeError(`the files of the directory have over ${MAX_DIRECTORY_BYTES} bytes`)
    files.push({ name, content: await readFile(path) })
  }
  return files
}

/** Bytes of a regular file, or of what a link leads to; undefined for all else, a dangling link too. */
async function fileSize(path: string): Promise<number | undefined> {
  const entry = await lstat(path)
  const target = entry.isSymbolicLink() ? await stat(path).catch(() => undefined) : entry
  return target?.isFile() ? target.size : undefined
}

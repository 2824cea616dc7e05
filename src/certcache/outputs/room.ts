/** What the file system lets us write, found out without writing, and how it is reported. */
import { constants } from 'node:fs'
import { access, statfs } from 'node:fs/promises'
import { TtsError } from '../../base/errors.ts'

/**
 * Why a file of so many bytes cannot be made in the directory now, as a code of the file system (`EROFS`, `EACCES`,
 * `ENOSPC`, `ENOENT`, `ENOTDIR`); undefined when nothing speaks against it. Quotas do not show.
 */
export async function whyNoRoom(directory: string, bytes: number): Promise<string | undefined> {
  try {
    // With the dot a file in the directory's place is reported as such.
    await access(`${directory}/.`, constants.W_OK | constants.X_OK)
    const { bavail, bfree, bsize, files, ffree } = await statfs(directory)
    const blocks = process.getuid?.() === 0 ? bfree : bavail
    // File systems that count no inodes say that there are none.
    const isFull = blocks * bsize < bytes || (files > 0 && ffree === 0)
    return isFull ? 'ENOSPC' : undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown error'
  }
}

/** What codes of the file system mean to an operator. */
export const remedies: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk is full: free some space. The old file is unchanged.',
  EDQUOT: 'The disk quota is used up: free some space. The old file is unchanged.',
  EFBIG: 'Raise the limit of file sizes (ulimit -f).',
  EROFS: 'The file system is read-only: name a path on another one.',
  EACCES: 'Name another path, or let this user write to the directory.',
  EPERM: 'Run certcache as root: only root can give files to other users.',
  ENOENT: 'Create the directory.',
  ENOTDIR: 'Correct the path: a part of it is not a directory.',
}

/** The error for a file or directory that cannot be written; `cause` has the code. */
export function unwritable(path: string, cause: unknown): TtsError {
  const code = codeOf(cause)
  const remedy = remedies[code]
  return new TtsError('configuration', `${path} cannot be written (${code})`, {
    check: 'output',
    ...(remedy === undefined ? {} : { remedy }),
    cause,
  })
}

/** The code of an error of the file system. */
export function codeOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : ''
  return typeof code === 'string' && code !== '' ? code : 'unknown error'
}

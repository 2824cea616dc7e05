/** Checks without writing whether a file could be written, and makes the errors for files that cannot. */
import { constants } from 'node:fs'
import { access, statfs } from 'node:fs/promises'
import { TtsError } from '../../base/errors.ts'

/**
 * Returns why a file of `bytes` bytes cannot be created in the directory, as an error code of the file system (`EROFS`,
 * `EACCES`, `ENOSPC`, `ENOENT`, `ENOTDIR`); undefined if no obstacle is found. Does not detect quotas.
 */
export async function findWriteObstacle(
  directory: string,
  bytes: number,
): Promise<string | undefined> {
  try {
    // With the dot, a file instead of the directory gives ENOTDIR.
    await access(`${directory}/.`, constants.W_OK | constants.X_OK)
    const { bavail, bfree, bsize, files, ffree } = await statfs(directory)
    const blocks = process.getuid?.() === 0 ? bfree : bavail
    // File systems without an inode limit report 0 inodes.
    const isFull = blocks * bsize < bytes || (files > 0 && ffree === 0)
    return isFull ? 'ENOSPC' : undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown error'
  }
}

/** What the operator can do, by error code of the file system. */
export const remedies: Readonly<Record<string, string>> = {
  ENOSPC: 'Free space on the disk, which is full. The old file is intact.',
  EDQUOT: 'Free space or raise the quota, which is exhausted. The old file is intact.',
  EFBIG: 'Raise the file size limit (ulimit -f).',
  EROFS: 'Name a path on another file system. This one is read-only.',
  EACCES: 'Name another path, or let this user write to the directory.',
  EPERM: 'Run as root: only root can give files to other users.',
  ENOENT: 'Create the directory, which does not exist.',
  ENOTDIR: 'Correct the path: a part of it is not a directory.',
}

/** Returns the error for a file or directory that cannot be written. The remedy depends on the code of `cause`. */
export function cannotWrite(path: string, cause: unknown): TtsError {
  const code = codeOf(cause)
  const remedy = remedies[code]
  return new TtsError('configuration', `${path} cannot be written (${code})`, {
    check: 'output',
    ...(remedy === undefined ? {} : { remedy }),
    cause,
  })
}

/** Returns the code of a file system error. */
export function codeOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : ''
  return typeof code === 'string' && code !== '' ? code : 'unknown error'
}

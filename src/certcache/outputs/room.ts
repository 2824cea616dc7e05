/** Checks without writing whether a file could be written, and makes the errors for files that cannot. */
import { constants } from 'node:fs'
import { access, statfs } from 'node:fs/promises'
import type { TtsError } from '../../base/errors.ts'
import { fileErrorRemedy, systemErrorCode } from '../../base/system-error.ts'
import { cannotWrite } from '../../files/file-errors.ts'

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

/** Returns the error for an output that cannot be written. A TtsError stays. */
export function cannotWriteOutput(path: string, cause: unknown): TtsError {
  return cannotWrite(path, cause, { check: 'output', remedy: outputRemedy(cause) })
}

/** Returns what the operator can do about an output that cannot be written; undefined if that is not known. */
export function outputRemedy(cause: unknown): string | undefined {
  const code = systemErrorCode(cause)
  // Outputs may have another owner, so the system refuses chown more often than anything else.
  if (code === 'EPERM') return 'Run as root: only root can give files to other users.'
  const remedy = fileErrorRemedy(cause)
  return code === 'ENOSPC' || code === 'EDQUOT' ? `${remedy} The old file is intact.` : remedy
}

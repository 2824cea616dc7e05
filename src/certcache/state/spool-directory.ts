/** Finds the directory of the refresh spool. It is on this machine even when the state is in a database. */
import { lstat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { modeForOthers } from '../../files/trusted-group.ts'
import { makeDirectory } from '../../files/directory.ts'
import type { StateLocation } from './open-state.ts'

/**
 * Returns the spool directory: inside the state directory, or, if the state is in a database and that directory
 * cannot be used (a container with a read-only root), the first usable directory below `bases`.
 *
 * @param bases tried in this order after the state directory; default: the directory for temporary files, then memory
 */
export async function spoolDirectory(
  { directory, url, cluster }: Pick<StateLocation, 'directory' | 'url' | 'cluster'>,
  uid: number,
  bases: readonly string[] = [tmpdir(), '/dev/shm'],
): Promise<string> {
  const first = join(directory, 'refresh-spool')
  if (url === undefined) return first
  const others = bases.map((base) => join(base, `certcache-${cluster}-${uid}`))
  for (const path of [first, ...others]) if (await isPrivate(path, uid)) return path
  // The attempt to use it reports what is wrong.
  return first
}

/** Another user may have created this name in a shared directory, so owner and mode are checked. */
async function isPrivate(path: string, uid: number): Promise<boolean> {
  try {
    await makeDirectory(path, 0o700)
    const stats = await lstat(path)
    return stats.isDirectory() && stats.uid === uid && (modeForOthers(stats) & 0o077) === 0
  } catch {
    return false
  }
}

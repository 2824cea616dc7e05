/** Where answers of the identity provider wait until they stand in the state: on this machine, also for a state in a database. */
import { lstat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeDirectory } from '../../files/directory.ts'
import type { StatePlace } from './open-state.ts'

/**
 * The spool in the state directory. With a state in a database that directory need not be there nor be writable (a container
 * with a read-only root): then the first that works of the directory for temporary files and of memory.
 *
 * @param bases tried in this order after the state directory
 */
export async function spoolDirectory(
  { directory, url, cluster }: Pick<StatePlace, 'directory' | 'url' | 'cluster'>,
  uid: number,
  bases: readonly string[] = [tmpdir(), '/dev/shm'],
): Promise<string> {
  const first = join(directory, 'refresh-spool')
  if (url === undefined) return first
  const others = bases.map((base) => join(base, `certcache-${cluster}-${uid}`))
  for (const path of [first, ...others]) if (await isPrivate(path, uid)) return path
  // Its error says what is wrong.
  return first
}

/** Anybody may have made something of this name in a shared directory. */
async function isPrivate(path: string, uid: number): Promise<boolean> {
  try {
    await makeDirectory(path, 0o700)
    const found = await lstat(path)
    return found.isDirectory() && found.uid === uid && (found.mode & 0o077) === 0
  } catch {
    return false
  }
}

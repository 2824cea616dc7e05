/** Where the state is kept when the old DODAS cache would have had it in ZooKeeper or Marathon. */
import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Types of file systems that end with their container or machine: overlayfs and tmpfs, as in Linux's magic.h. */
const PASSING = new Set([0x794c7630, 0x01021994])

/**
 * Says what happens instead of the storage that CACHE_MANAGER names. DODAS's templates set it by default, so certcache
 * starts all the same.
 */
export async function storageNotes(
  manager: string | undefined,
  directory: string,
): Promise<readonly string[]> {
  if (manager === undefined) return []
  const notes = [
    `CACHE_MANAGER=${manager} is ignored: the state is kept in ${directory}. Run only one certcache with it; for several use PostgreSQL (state.url_file and state.key_file)`,
  ]
  if (await isPassing(directory))
    notes.push(
      `${directory} is lost with this container: mount a volume there, or a new access token is needed each time`,
    )
  return notes
}

/** Whether the file system of the directory, or of the nearest one above it that exists, ends with its container. */
async function isPassing(directory: string): Promise<boolean> {
  try {
    return PASSING.has((await statfs(directory)).type)
  } catch {
    const above = dirname(directory)
    return above !== directory && isPassing(above)
  }
}

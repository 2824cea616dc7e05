import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { retryFor } from '../../base/async.ts'
import { type FileLock, tryFileLock } from '../../files/file-lock.ts'
import { createLocalLocks, LOCK_PAUSES, lockBusy, type NamedLocks } from '../named-locks.ts'

/** Locks lie on so few files; what shares one in two processes at once waits for no good reason, and that is all. */
const FILES = 64

/** A file that this process holds, and how many of its names need it. */
interface Held {
  readonly lock: FileLock
  users: number
}

/**
 * Locks over all processes of this machine, on files in `directory`. The kernel drops those of a process that dies.
 *
 * Names share files, because a file that may be locked can never be removed safely.
 */
export function createFileLocks(directory: string): NamedLocks {
  const local = createLocalLocks()
  const held = new Map<string, Held>()

  /** Nothing here waits, so that no two take the same file at once. */
  function tryHold(path: string): boolean {
    const known = held.get(path)
    if (known !== undefined) {
      known.users += 1
      return true
    }
    const lock = tryFileLock(path, { makeDirectory: true })
    if (lock !== undefined) held.set(path, { lock, users: 1 })
    return lock !== undefined
  }

  function letGo(path: string): void {
    const known = held.get(path)
    if (known === undefined) return
    known.users -= 1
    if (known.users > 0) return
    held.delete(path)
    known.lock.release()
  }

  async function withFile<Answer>(
    path: string,
    work: () => Promise<Answer>,
    waitMs: number,
  ): Promise<Answer> {
    const isHeld = await retryFor(() => tryHold(path) || undefined, {
      ...LOCK_PAUSES,
      milliseconds: waitMs,
    })
    if (!isHeld) throw lockBusy()
    try {
      return await work()
    } finally {
      letGo(path)
    }
  }

  return {
    run: (name, work, waitMs) =>
      local.run(name, () => withFile(join(directory, fileOf(name)), work, waitMs), waitMs),
    close: () => local.close(),
  }
}

function fileOf(name: string): string {
  const slot = createHash('sha256').update(`tts lock\0${name}`).digest().readUInt32BE(0) % FILES
  return `${slot.toString().padStart(2, '0')}.lock`
}

/** The empty directory of one run, which belongs to whoever the program runs as. */
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { mkdtemp, open, readdir, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { CommandError } from './command.ts'
import type { Isolation } from './isolation.ts'

const REMOVE_TIMEOUT_MS = 30_000

export interface RunDirectory {
  readonly path: string
  /** Gives it to the user of the program. @throws {CommandError} */
  handOver(): Promise<void>
  /** Removes it with all that is in it. @throws the system's error */
  remove(): Promise<void>
}

/** @param parent default: that for temporary files. @throws the system's error */
export async function makeRunDirectory(
  parent: string | undefined,
  { account, asUser }: Pick<Isolation, 'account' | 'asUser'>,
): Promise<RunDirectory> {
  // 0700 from its first moment.
  const path = await mkdtemp(join(parent ?? tmpdir(), 'tts-plugin-'))
  return {
    path,
    handOver: async () => {
      if (account) await giveAway(path, account)
    },
    remove: async () => (asUser ? removeAs(asUser, path) : removeOwn(path)),
  }
}

/** By the descriptor, after a look at what it is: the directory above may be one that others can write. */
async function giveAway(
  path: string,
  { uid, gid }: { readonly uid: number; readonly gid: number },
): Promise<void> {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants
  const directory = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  try {
    const found = await directory.stat()
    if (
      found.uid !== process.geteuid?.() ||
      (await readdir(`/proc/self/fd/${directory.fd}`)).length > 0
    )
      throw new CommandError(
        `${path} was replaced by another user`,
        'set working_directory to a directory that only root can write',
      )
    await directory.chown(uid, gid)
  } finally {
    await directory.close()
  }
}

async function removeOwn(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3, retryDelay: 20 })
}

/**
 * As the user: in a directory of theirs a process that was left could swap names for links while root removes what they lead to.
 * The directory itself may be where only root can remove it; rmdir(2) removes nothing but an empty one, and follows no link.
 */
async function removeAs([file = '', ...args]: readonly string[], path: string): Promise<void> {
  const words = [...args, 'rm', '-rf', '--one-file-system', '--', path]
  await promisify(execFile)(file, words, {
    cwd: '/',
    env: { PATH: '/usr/bin:/bin' },
    timeout: REMOVE_TIMEOUT_MS,
  }).catch(() => undefined)
  await rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}

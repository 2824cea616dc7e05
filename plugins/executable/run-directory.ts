/** The empty directory of one run, owned by the user who runs the program. */
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { mkdtemp, open, readdir, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { CommandError } from './command.ts'
import type { Isolation } from './isolation.ts'
import { systemReason } from './start-problem.ts'

const REMOVE_TIMEOUT_MS = 30_000

export interface RunDirectory {
  readonly path: string
  /** Changes its owner to the program's user. @throws {CommandError} another user replaced it */
  handOver(): Promise<void>
  /** Removes it with its contents. @throws the system's error */
  remove(): Promise<void>
}

/** @param parent default: the directory for temporary files. @throws {CommandError} it cannot be made there */
export async function makeRunDirectory(
  parent = tmpdir(),
  { account, asUser }: Pick<Isolation, 'account' | 'asUser'>,
): Promise<RunDirectory> {
  // mkdtemp creates it with mode 0700.
  const path = await mkdtemp(join(parent, 'tts-plugin-')).catch((error: unknown) => {
    throw new CommandError(
      `no directory for the run can be made in ${parent}: ${systemReason(error)}`,
      'Set working_directory to a directory that the service can write to, or free space there.',
    )
  })
  return {
    path,
    handOver: async () => {
      if (account) await giveAway(path, account)
    },
    remove: async () => (asUser ? removeAs(asUser, path) : removeOwn(path)),
  }
}

/** Uses a descriptor and checks it, because others may be able to write to the directory above. */
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
        'Set working_directory to a directory that only root can write to.',
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
 * Empties the directory as its user: if root did, a remaining process of that user could swap names for links and
 * make root remove other files. The directory itself may lie where only root can remove it; rmdir(2) is safe because
 * it removes only an empty directory and does not follow links.
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

/**
 * Checks, before anything is requested or issued, that a file can be written. A rename replaces whatever has the name:
 * a device, a pipe or a socket would be gone.
 */
import { randomBytes } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { lstat, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { TtsError } from '../base/errors.ts'
import { type Directory, inDirectoryOf } from './directory.ts'
import { cannotWrite } from './file-errors.ts'

/** The name of standard output as an output file. */
export const STANDARD_OUTPUT = '-'

/** A private file for a proxy is not longer. */
const PROBE_BYTES = 32 * 1024

/**
 * Checks that a private file can be created at the path, or replaced. Creates and removes a temporary file, because
 * only that finds quotas, immutable directories and file systems such as /proc.
 *
 * @throws {TtsError} `configuration`, check `symbolic_link`, `not_plain_file` or `foreign_file`, or none (the directory
 *   is missing, not writable or full)
 */
export async function checkOutputFile(path: string): Promise<void> {
  if (path === '' || path.endsWith('/'))
    throw new TtsError(
      'configuration',
      `"${path}" cannot be written: it is not the name of a file`,
      {
        check: 'not_plain_file',
        remedy: 'Name a file. `-` is standard output.',
      },
    )
  try {
    await inDirectoryOf(path, async (directory, name) => {
      await refuseUnsafeTarget(directory, name)
      await refuseForeignTarget(directory, name)
      await probe(directory)
    })
  } catch (error) {
    throw cannotWrite(path, error)
  }
}

/**
 * Refuses to replace a link, or anything else that is not a plain file of ours.
 *
 * @throws {TtsError} as `checkOutputFile`
 */
export async function refuseUnsafeTarget(directory: Directory, name: string): Promise<void> {
  const path = join(directory.path, name)
  const stats = await lstat(directory.entry(name)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (stats === undefined) return
  if (stats.isSymbolicLink())
    throw new TtsError(
      'configuration',
      `${path} is a symbolic link; secrets are not written through links`,
      {
        check: 'symbolic_link',
        remedy: path.startsWith('/dev/')
          ? 'Name a file. `-` is standard output.'
          : 'Name the file itself, or remove the link.',
      },
    )
  if (!stats.isFile())
    throw new TtsError('configuration', `${path} is ${kindOf(stats)}; it is not replaced`, {
      check: 'not_plain_file',
      remedy: stats.isDirectory()
        ? `Name a file in it, for example ${join(path, 'proxy.pem')}.`
        : 'Name a file, or `-` for standard output.',
    })
}

/** In a sticky directory (/tmp) only the owner of a file, or of the directory, can replace the file. */
async function refuseForeignTarget(directory: Directory, name: string): Promise<void> {
  const user = process.geteuid?.() ?? 0
  const [place, target] = await Promise.all([
    directory.file.stat(),
    lstat(directory.entry(name)).catch(() => undefined),
  ])
  if (target === undefined || (place.mode & 0o1000) === 0) return
  if (user === 0 || target.uid === user || place.uid === user) return
  throw new TtsError(
    'configuration',
    `${join(directory.path, name)} belongs to another user (uid ${target.uid}); it cannot be replaced`,
    { check: 'foreign_file', remedy: 'Name another path, or let the owner remove the file.' },
  )
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory'
  if (stats.isFIFO()) return 'a named pipe'
  if (stats.isSocket()) return 'a socket'
  return 'a device'
}

async function probe(directory: Directory): Promise<void> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  const temporary = directory.entry(`.tts-${randomBytes(9).toString('base64url')}.tmp`)
  const file = await open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  try {
    await file.writeFile(Buffer.alloc(PROBE_BYTES))
  } finally {
    await file.close()
    await unlink(temporary)
  }
}

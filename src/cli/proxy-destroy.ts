/** `tts proxy destroy`: overwrites and removes a proxy file, as grid-proxy-destroy does. */
import { constants, type Stats } from 'node:fs'
import { type FileHandle, lstat, open, unlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Command } from 'commander'
import { MAX_PROXY_FILE_LENGTH, parseProxyFile } from '../../ca/proxy-file.ts'
import { describeProxy } from '../../ca/proxy-info.ts'
import { TtsError } from '../base/errors.ts'
import { systemErrorCode } from '../base/system-error.ts'
import { type Directory, inDirectoryOf } from '../files/directory.ts'
import { cannotRead, fileError } from '../files/file-errors.ts'
import { proxyPath, type Terminal } from './terminal.ts'

interface DestroyOptions {
  readonly file?: string
  readonly default?: boolean
  readonly dryRun?: boolean
  readonly quiet?: boolean
}

export function proxyDestroyCommand(terminal: Terminal): Command {
  return new Command('destroy')
    .argument('[file]', 'the proxy file (default: X509_USER_PROXY, or /tmp/x509up_u$ID)')
    .description('overwrite and remove a proxy file')
    .option('--file <FILE>', 'the proxy file, as for grid-proxy-destroy')
    .option('--default', 'the default proxy file, besides a file that is named')
    .option('--dry-run', 'only say what would be removed')
    .option('-q, --quiet', 'print nothing on success')
    .addHelpText(
      'after',
      `
Refuses everything that is not a proxy file of yours: other files, links, files with several names (hard links).
Copies of the proxy, and proxies delegated from it, stay valid: revoke them with \`tts my credentials revoke\`.

Exit codes: 0 removed, 2 not a proxy file of yours, 5 no such file.

Examples:
  tts proxy destroy
  tts proxy destroy ./gwms_proxy`,
    )
    .action(async (file: string | undefined, _options, self: Command) => {
      const options = self.optsWithGlobals<DestroyOptions>()
      const ours = proxyPath(terminal)
      const named = file ?? options.file ?? ours
      const paths = options.default ? [named, ours] : [named]
      const failures: unknown[] = []
      // One that cannot be removed must not leave the other in place.
      for (const path of new Map(paths.map((one) => [resolve(one), one])).values())
        await destroy(terminal, path, options).catch((error: unknown) => failures.push(error))
      const [failure, other] = failures
      if (other instanceof Error) terminal.note(other.message)
      if (failure !== undefined) throw failure
    })
}

async function destroy(terminal: Terminal, path: string, options: DestroyOptions): Promise<void> {
  const work = async (directory: Directory, name: string): Promise<void> => {
    const file = await openExisting(directory, name)
    try {
      const stats = await file.stat()
      requireOwnFile(path, stats, terminal.uid)
      await requireProxy(file, path, terminal.now())
      if (options.dryRun) return
      await overwrite(file, stats.size)
      await removeSame(directory, name, stats)
    } finally {
      await file.close()
    }
  }
  await inDirectoryOf(path, work).catch((error: unknown) => {
    throw cannotRead(path, error)
  })
  if (options.dryRun) terminal.note(`${path} would be overwritten and removed.`)
  else if (!options.quiet) terminal.note(`${path} was overwritten and removed.`)
}

async function openExisting(directory: Directory, name: string): Promise<FileHandle> {
  const path = join(directory.path, name)
  // O_NONBLOCK: opening a pipe must not hang.
  const flags = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK
  return open(directory.entry(name), flags).catch((error: unknown) => {
    const code = systemErrorCode(error) ?? ''
    if (code === 'ENOENT')
      throw new TtsError('not_found', `there is no proxy file ${path}`, { cause: error })
    if (code === 'ELOOP') throw notOurs(path, 'is a symbolic link', 'Name the file itself.')
    if (['EISDIR', 'ENXIO'].includes(code)) throw notOurs(path, 'is not a plain file')
    throw fileError(`${path} cannot be overwritten`, error)
  })
}

/** @throws {TtsError} `invalid_request`, check `foreign_file` */
function requireOwnFile(path: string, stats: Stats, uid: number): void {
  if (!stats.isFile()) throw notOurs(path, 'is not a plain file')
  if (stats.uid !== uid)
    throw notOurs(
      path,
      `belongs to another user (uid ${stats.uid})`,
      'Run this as the owner of the file.',
    )
  if (stats.nlink !== 1)
    throw notOurs(
      path,
      `has ${stats.nlink} names (hard links)`,
      'Find the other names (find -samefile), and remove them first.',
    )
  if (stats.size > MAX_PROXY_FILE_LENGTH) throw notOurs(path, 'is too large to be a proxy file')
}

/** Refuses a user's own certificate too: only a proxy can be made again at any time. */
async function requireProxy(file: FileHandle, path: string, now: Date): Promise<void> {
  const text = await file.readFile('latin1')
  let kind: string | undefined
  try {
    kind = describeProxy(parseProxyFile(text), { now, path }).certificates[0]?.kind
  } catch {
    kind = undefined
  }
  if (kind !== 'proxy') throw notOurs(path, 'is not a proxy file')
}

async function overwrite(file: FileHandle, size: number): Promise<void> {
  await file.write(Buffer.alloc(size), 0, size, 0)
  await file.sync()
}

/** Removes the name only if it is still the name of the file that was overwritten. */
async function removeSame(directory: Directory, name: string, stats: Stats): Promise<void> {
  const found = await lstat(directory.entry(name))
  if (found.ino !== stats.ino || found.dev !== stats.dev)
    throw new TtsError('conflict', `${join(directory.path, name)} was replaced meanwhile`, {
      remedy: 'The old file is overwritten. Look at the new one, then try again.',
    })
  await unlink(directory.entry(name))
}

function notOurs(path: string, problem: string, remedy = 'Name a proxy file of yours.'): TtsError {
  return new TtsError('invalid_request', `${path} ${problem}; it is not removed`, {
    check: 'foreign_file',
    remedy,
  })
}

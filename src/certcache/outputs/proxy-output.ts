/**
 * Writes a proxy to its output files: atomically, and private from the first byte. The old file stays when anything
 * fails.
 */
import { lstat, readdir, readlink, realpath, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { TtsError } from '../../base/errors.ts'
import { type Directory, inDirectoryOf, withDirectory } from '../../files/directory.ts'
import { isRootsAlone, untrustedLink } from '../../files/directory-path.ts'
import { writePrivateFileIn } from '../../files/private-file.ts'
import type { HeldProxy } from '../proxy-engine.ts'
import type { OutputSettings } from '../settings/proxy-settings.ts'
import { hasPair, pairOf, writePair } from './split-output.ts'
import { cannotWriteOutput, findWriteObstacle } from './room.ts'
import { checkTarget, isUpToDate, ownerOf, rethrowWithRemedy, targetIn } from './targets.ts'

const LEFTOVER_AGE_MS = 3_600_000
const MAX_LINKS = 40
/** A proxy file with its chain is not longer. */
const PROXY_BYTES = 32 * 1024

/**
 * Writes the proxy to one output, unless the file already has this content, mode and owner.
 *
 * @returns whether anything was written
 * @throws {TtsError} `configuration`; the message names the file
 */
export async function writeOutput(output: OutputSettings, proxy: HeldProxy): Promise<boolean> {
  const access = { mode: Number.parseInt(output.mode, 8), owner: await ownerOf(output) }
  if (output.format === 'split') return writePair(output.path, pairOf(proxy), access)
  const { mode, owner } = access
  return inTargetDirectory(output, async (directory, name) => {
    const target = targetIn(directory, name)
    const exists = await checkTarget(target, owner)
    if (exists && (await isUpToDate(target, { content: proxy.pem, mode, owner }))) return false
    const options = { mode, ...(owner ? { owner } : {}) }
    await writePrivateFileIn({ directory, name }, proxy.pem, options).catch(rethrowWithRemedy)
    return true
  })
}

/**
 * Checks without writing that the output is up to date and that it could be written again.
 *
 * @returns the problem; undefined if there is none
 */
export async function inspectOutput(
  output: OutputSettings,
  proxy: HeldProxy,
): Promise<TtsError | undefined> {
  try {
    const access = { mode: Number.parseInt(output.mode, 8), owner: await ownerOf(output) }
    const isPair = output.format === 'split'
    const target = isPair ? output.path : await resolveTarget(output)
    const code = await findWriteObstacle(isPair ? target : dirname(target), proxy.pem.length)
    if (code !== undefined) return cannotWriteOutput(target, { code })
    const isCurrent = isPair
      ? await inDirectory(target, (directory) => hasPair(directory, pairOf(proxy), access))
      : await inTargetDirectory(output, async (directory, name) => {
          const file = targetIn(directory, name)
          const exists = await checkTarget(file, access.owner)
          return exists && (await isUpToDate(file, { content: proxy.pem, ...access }))
        })
    return isCurrent ? undefined : outdatedError(target)
  } catch (error) {
    if (error instanceof TtsError) return error
    throw error
  }
}

/**
 * Checks, before a proxy is requested, that the output could be written.
 *
 * @throws {TtsError} `configuration`; the message names the file
 */
export async function checkOutput(output: OutputSettings): Promise<void> {
  const owner = await ownerOf(output)
  const isPair = output.format === 'split'
  const target = isPair ? output.path : await resolveTarget(output)
  // The directory of a pair is created if it is missing.
  const exists = !isPair || (await lstat(target).catch(() => undefined)) !== undefined
  const code = await findWriteObstacle(isPair && exists ? target : dirname(target), PROXY_BYTES)
  if (code !== undefined) throw cannotWriteOutput(target, { code })
  if (!isPair)
    await inTargetDirectory(output, (directory, name) =>
      checkTarget(targetIn(directory, name), owner),
    )
}

const outdatedError = (path: string): TtsError =>
  new TtsError(
    'configuration',
    `${path} does not hold the newest proxy, or has a wrong mode or owner`,
    {
      check: 'output',
      remedy: 'Run `certcache refresh`, or start `certcache serve`: both write it again.',
    },
  )

/** Runs `work` in the directory of the output file. @throws {TtsError} `configuration` */
async function inTargetDirectory<Result>(
  output: OutputSettings,
  work: (directory: Directory, name: string) => Promise<Result>,
): Promise<Result> {
  const path = await resolveTarget(output)
  return inDirectoryOf(path, work).catch((error: unknown) => {
    throw cannotWriteOutput(path, error)
  })
}

async function inDirectory<Result>(
  path: string,
  work: (directory: Directory) => Promise<Result>,
): Promise<Result> {
  return withDirectory(path, work).catch((error: unknown) => {
    throw cannotWriteOutput(path, error)
  })
}

/** Follows a link only if the settings allow it; as root only a link that no other user can have made. */
async function resolveTarget({ path, follow_symlink: follow }: OutputSettings): Promise<string> {
  const stats = await lstat(path).catch(() => undefined)
  if (stats?.isSymbolicLink() !== true) return path
  if (!follow)
    throw new TtsError(
      'configuration',
      `${path} is a symbolic link, and certcache does not write through it`,
      {
        check: 'symbolic_link',
        remedy: 'Name the file itself, or set follow_symlink: true for this output.',
      },
    )
  const resolved = process.geteuid?.() === 0 ? followAsRoot(path) : realpath(path)
  return resolved.catch((error: unknown) => {
    throw cannotWriteOutput(path, error)
  })
}

/** Follows a chain of links to its end. Each link must be in a directory that only root can change. */
async function followAsRoot(path: string): Promise<string> {
  let at = path
  for (let links = 0; links < MAX_LINKS; links += 1) {
    const target = await inDirectoryOf(at, async (directory, name) => {
      const isLink = (await lstat(directory.entry(name))).isSymbolicLink()
      if (!isLink) return undefined
      if (!isRootsAlone(await directory.file.stat())) throw untrustedLink(path, name)
      return readlink(directory.entry(name))
    })
    if (target === undefined) return at
    // The path is not normalised: `..` must be resolved against the real directory.
    at = target.startsWith('/') ? target : `${dirname(at)}/${target}`
  }
  throw Object.assign(new Error('too many links'), { code: 'ELOOP' })
}

/** Removes old temporary files of a killed certcache from the directory of this file, if they are ours. */
export async function removeLeftovers(path: string, now: Date): Promise<void> {
  const work = async (directory: Directory): Promise<void> => {
    const names = await readdir(directory.entry('.'))
    for (const name of names.filter((entry) => /^\.tts-[\w-]{12}\.tmp$/.test(entry))) {
      const leftover = directory.entry(name)
      const stats = await lstat(leftover).catch(() => undefined)
      const ageMs = now.getTime() - (stats?.mtimeMs ?? Infinity)
      if (stats?.isFile() === true && stats.uid === process.getuid?.() && ageMs > LEFTOVER_AGE_MS)
        await unlink(leftover).catch(() => undefined)
    }
  }
  await withDirectory(dirname(path), work).catch(() => undefined)
}

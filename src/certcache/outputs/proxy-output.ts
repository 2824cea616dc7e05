/**
 * Writes a proxy to the files that the operator named: whole or not at all, private from the first byte. What is there
 * already stays when anything goes wrong.
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
import { unwritable, whyNoRoom } from './room.ts'
import { checkTarget, explain, isAsWanted, ownerOf, targetIn } from './targets.ts'

const LEFTOVER_AGE_MS = 3_600_000
const MAX_LINKS = 40

/**
 * Writes the proxy to one output; a file that has this content, mode and owner already is left alone.
 *
 * @returns whether anything was written
 * @throws {TtsError} `configuration` naming the file, what is wrong and what to do
 */
export async function writeOutput(output: OutputSettings, proxy: HeldProxy): Promise<boolean> {
  const wanted = { mode: Number.parseInt(output.mode, 8), owner: await ownerOf(output) }
  if (output.format === 'split') return writePair(output.path, pairOf(proxy), wanted)
  const { mode, owner } = wanted
  return inTargetDirectory(output, async (directory, name) => {
    const target = targetIn(directory, name)
    const found = await checkTarget(target, owner)
    if (found && (await isAsWanted(target, { content: proxy.pem, mode, owner }))) return false
    const options = { mode, ...(owner ? { owner } : {}) }
    await writePrivateFileIn({ directory, name }, proxy.pem, options).catch(explain)
    return true
  })
}

/**
 * Whether the files are as `writeOutput` leaves them, and could be written again; writes nothing.
 *
 * @returns why not; undefined when all is well
 */
export async function inspectOutput(
  output: OutputSettings,
  proxy: HeldProxy,
): Promise<TtsError | undefined> {
  try {
    const wanted = { mode: Number.parseInt(output.mode, 8), owner: await ownerOf(output) }
    const isPair = output.format === 'split'
    const target = isPair ? output.path : await resolveTarget(output)
    const code = await whyNoRoom(isPair ? target : dirname(target), proxy.pem.length)
    if (code !== undefined) return unwritable(target, { code })
    const isThere = isPair
      ? await inDirectory(target, (directory) => hasPair(directory, pairOf(proxy), wanted))
      : await inTargetDirectory(output, async (directory, name) => {
          const file = targetIn(directory, name)
          const found = await checkTarget(file, wanted.owner)
          return found && (await isAsWanted(file, { content: proxy.pem, ...wanted }))
        })
    if (!isThere) return outdated(target)
    return undefined
  } catch (error) {
    if (error instanceof TtsError) return error
    throw error
  }
}

const outdated = (path: string): TtsError =>
  new TtsError('configuration', `${path} is not the newest proxy, or has another mode or owner`, {
    check: 'output',
    remedy: 'Run `certcache refresh` or `certcache serve`: both write it again.',
  })

/** Does something in the directory of the file. @throws {TtsError} `configuration` */
async function inTargetDirectory<Result>(
  output: OutputSettings,
  work: (directory: Directory, name: string) => Promise<Result>,
): Promise<Result> {
  const path = await resolveTarget(output)
  return inDirectoryOf(path, work).catch((error: unknown) => {
    throw error instanceof TtsError ? error : unwritable(path, error)
  })
}

async function inDirectory<Result>(
  path: string,
  work: (directory: Directory) => Promise<Result>,
): Promise<Result> {
  return withDirectory(path, work).catch((error: unknown) => {
    throw error instanceof TtsError ? error : unwritable(path, error)
  })
}

/** A link is followed to its end only when that was asked for; by root only where nobody else can have made it. */
async function resolveTarget({ path, follow_symlink: follow }: OutputSettings): Promise<string> {
  const found = await lstat(path).catch(() => undefined)
  if (found?.isSymbolicLink() !== true) return path
  if (!follow)
    throw new TtsError('configuration', `${path} is a symbolic link and is not written through`, {
      check: 'symbolic_link',
      remedy: 'Name the file itself, or set follow_symlink: true for this output.',
    })
  const resolved = process.geteuid?.() === 0 ? followAsRoot(path) : realpath(path)
  return resolved.catch((error: unknown) => {
    throw error instanceof TtsError ? error : unwritable(path, error)
  })
}

/** Where a chain of links ends, each of which lies in a directory that root alone can change. */
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
    // Not shortened: what `..` leads to is found on the way.
    at = target.startsWith('/') ? target : `${dirname(at)}/${target}`
  }
  throw Object.assign(new Error('too many links'), { code: 'ELOOP' })
}

/** Removes what a killed certcache left half written beside this file: named as we name them, ours, and old. */
export async function removeLeftovers(path: string, now: Date): Promise<void> {
  const work = async (directory: Directory): Promise<void> => {
    const names = await readdir(directory.entry('.'))
    for (const name of names.filter((entry) => /^\.tts-[\w-]{12}\.tmp$/.test(entry))) {
      const leftover = directory.entry(name)
      const found = await lstat(leftover).catch(() => undefined)
      const age = now.getTime() - (found?.mtimeMs ?? Infinity)
      if (found?.isFile() === true && found.uid === process.getuid?.() && age > LEFTOVER_AGE_MS)
        await unlink(leftover).catch(() => undefined)
    }
  }
  await withDirectory(dirname(path), work).catch(() => undefined)
}

/**
 * Writes a proxy to the files that the operator named: whole or not at all, private from the first byte. What is there
 * already stays when anything goes wrong.
 */
import { lstat, readdir, realpath, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { TtsError } from '../../errors.ts'
import { writePrivateFile } from '../../files/private-file.ts'
import type { HeldProxy } from '../proxy-keeper.ts'
import type { OutputSettings } from '../settings/proxy-settings.ts'
import { hasPair, pairOf, writePair } from './split-output.ts'
import { unwritable, whyNoRoom } from './room.ts'
import { checkTarget, explain, isAsWanted, ownerOf } from './targets.ts'

const LEFTOVER_AGE_MS = 3_600_000

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
  const target = await targetOf(output.path, output)
  const found = await checkTarget(target, owner)
  if (found && (await isAsWanted(target, { content: proxy.pem, mode, owner }))) return false
  await writePrivateFile(target, proxy.pem, { mode, ...(owner ? { owner } : {}) }).catch(explain)
  return true
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
    const target = isPair ? output.path : await targetOf(output.path, output)
    const code = await whyNoRoom(isPair ? target : dirname(target), proxy.pem.length)
    if (code !== undefined) return unwritable(target, { code })
    const isThere = isPair
      ? await hasPair(target, pairOf(proxy), wanted)
      : (await checkTarget(target, wanted.owner)) &&
        (await isAsWanted(target, { content: proxy.pem, ...wanted }))
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
    remedy: '`certcache refresh` and `certcache serve` write it again',
  })

/** A link is followed to its end only when that was asked for; else `writePrivateFile` refuses it. */
async function targetOf(path: string, { follow_symlink: follow }: OutputSettings): Promise<string> {
  const found = await lstat(path).catch(() => undefined)
  if (found?.isSymbolicLink() !== true) return path
  if (!follow)
    throw new TtsError('configuration', `${path} is a symbolic link and is not written through`, {
      check: 'symbolic_link',
      remedy: 'name the file itself, or set follow_symlink: true for this output',
    })
  return realpath(path).catch((error: unknown) => {
    throw unwritable(path, error)
  })
}

/** Removes what a killed certcache left half written beside this file: named as we name them, ours, and old. */
export async function removeLeftovers(path: string, now: Date): Promise<void> {
  const directory = dirname(path)
  const names = await readdir(directory).catch(() => [])
  for (const name of names.filter((entry) => /^\.tts-[\w-]{12}\.tmp$/.test(entry))) {
    const leftover = join(directory, name)
    const found = await lstat(leftover).catch(() => undefined)
    const age = now.getTime() - (found?.mtimeMs ?? Infinity)
    if (found?.isFile() === true && found.uid === process.getuid?.() && age > LEFTOVER_AGE_MS)
      await unlink(leftover).catch(() => undefined)
  }
}

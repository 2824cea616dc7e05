/**
 * Writes certificates and key as two files that change together, in the way that Kubernetes updates mounted secrets.
 * Each version of the pair has a directory of its own. The names that programs open are links through one link, and a
 * rename replaces that link:
 *
 *     usercert.pem -> ..data/usercert.pem        ..data -> ..v-Ab3dEf        ..v-Ab3dEf/usercert.pem, userkey.pem
 *
 * At every moment, even after a crash or on a full disk, both names lead to files of the same proxy. A program that
 * opens one file before the rename and the other one after it gets two that do not match; it must notice that and
 * read both again. A program that resolves `..data` first is never affected, because the directory of the previous
 * proxy stays until a later renewal.
 */
import { randomInt, randomBytes } from 'node:crypto'
import { lstat, readdir, readlink, rename, rm, rmdir, symlink, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { formatPrivateKey, formatProxyFile, parseProxyFile } from '../../../ca/proxy-file.ts'
import { TtsError } from '../../base/errors.ts'
import {
  type Directory,
  makeSubdirectory,
  openSubdirectory,
  withDirectory,
} from '../../files/directory.ts'
import { writePrivateFileIn } from '../../files/private-file.ts'
import type { HeldProxy } from '../proxy-engine.ts'
import { systemErrorCode } from '../../base/system-error.ts'
import { cannotWriteOutput } from './room.ts'
import { checkTarget, foreignFile, isUpToDate, type Owner, targetIn } from './targets.ts'

const LINK = '..data'
const VERSION = /^\.\.v-[A-Za-z0-9]{6}$/
const TEMPORARY_LINK = /^\.\.l-[0-9a-f]{12}$/
const OLD_MS = 3_600_000
/** The files of a version: the pair, and temporary files of a certcache that was killed. */
const VERSION_FILE = /^(userkey\.pem|usercert\.pem|\.tts-[\w-]{12}\.tmp)$/
const NAME_CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** The content of both files, by name. */
export type Pair = Readonly<Record<'userkey.pem' | 'usercert.pem', string>>

interface FileAccess {
  readonly mode: number
  readonly owner: Owner | undefined
}

/** Returns the proxy as two PEM files: the key in the format that it has in the proxy file, and the certificates. */
export function pairOf(proxy: HeldProxy): Pair {
  const { certificates, privateKey, labels } = parseProxyFile(proxy.pem.toString('latin1'))
  const [first, ...chain] = certificates.map(({ der }) => der)
  if (first === undefined || privateKey === undefined)
    throw new TtsError('internal', 'the proxy is incomplete')
  const format = labels.includes('PRIVATE KEY') ? 'pkcs8' : 'pkcs1'
  return {
    'userkey.pem': formatPrivateKey({ privateKey, format }),
    'usercert.pem': formatProxyFile(first, undefined, chain),
  }
}

/**
 * Tells whether the directory already holds this pair, with our links and this owner and mode.
 *
 * @throws {TtsError} `configuration` (check `foreign_file`) when one of the names belongs to another file or link
 */
export async function hasPair(
  directory: Directory,
  pair: Pair,
  access: FileAccess,
): Promise<boolean> {
  let isCurrent = true
  // Check both names before anything is written: neither may be a foreign file.
  for (const [name, content] of Object.entries(pair)) {
    const target = targetIn(directory, name)
    const isLinked = await checkName(directory, name, access.owner)
    const exists = await checkTarget(target, access.owner)
    const isMatch = isLinked && exists && (await isUpToDate(target, { content, ...access }))
    isCurrent &&= isMatch
  }
  return isCurrent
}

/**
 * Writes the pair, unless the directory already holds it.
 *
 * @returns whether anything was written
 * @throws {TtsError} `configuration`; the old pair stays
 */
export async function writePair(path: string, pair: Pair, access: FileAccess): Promise<boolean> {
  const work = async (directory: Directory): Promise<boolean> => {
    if (await hasPair(directory, pair, access)) return false
    await replacePair(directory, pair, access)
    return true
  }
  return withDirectory(path, work, { make: 0o700 }).catch((error: unknown) => {
    throw cannotWriteOutput(path, error)
  })
}

async function replacePair(directory: Directory, pair: Pair, access: FileAccess): Promise<void> {
  const previous = await currentVersion(directory)
  const name = `..v-${Array.from({ length: 6 }, () => NAME_CHARACTERS[randomInt(NAME_CHARACTERS.length)]).join('')}`
  try {
    await writeVersion({ directory, name }, pair, access)
    await replaceLink(directory, LINK, name)
    // Only the first time, when the names are missing or plain files. The key is replaced first.
    for (const file of Object.keys(pair))
      if (!(await checkName(directory, file, access.owner)))
        await replaceLink(directory, file, `${LINK}/${file}`)
    await directory.file.sync()
    await removeVersions(directory, name, previous)
  } catch (error) {
    if ((await currentVersion(directory)) !== name)
      await removeVersion(directory, name).catch(() => undefined)
    throw error
  }
}

async function writeVersion(
  { directory, name }: { readonly directory: Directory; readonly name: string },
  pair: Pair,
  { mode, owner }: FileAccess,
): Promise<void> {
  const version = await makeSubdirectory(directory, name, 0o700)
  try {
    for (const [file, content] of Object.entries(pair))
      await writePrivateFileIn({ directory: version, name: file }, content, {
        mode,
        ...(owner ? { owner } : {}),
      }).catch((error: unknown) => {
        throw error instanceof TtsError && systemErrorCode(error.cause) !== undefined
          ? cannotWriteOutput(join(directory.path, file), error.cause)
          : error
      })
    // Until here only we could enter the directory. Now let the readers of the files in.
    await version.file.chmod((mode & 0o040) === 0 ? 0o700 : 0o750)
    if (owner) await version.file.chown(owner.uid, owner.gid)
  } finally {
    await version.close()
  }
}

/**
 * Returns true for our link, false for a proxy file or no entry. @throws {TtsError} `configuration` for any other entry
 */
async function checkName(
  directory: Directory,
  name: string,
  owner: Owner | undefined,
): Promise<boolean> {
  const target = targetIn(directory, name)
  const stats = await lstat(target.at).catch(() => undefined)
  if (stats?.isSymbolicLink() !== true) {
    if (stats !== undefined) await checkTarget(target, owner)
    return false
  }
  if ((await readlink(target.at)) === `${LINK}/${name}`) return true
  throw foreignFile(
    target.path,
    'is a link that certcache did not make',
    'Remove it, or name another directory.',
  )
}

async function currentVersion(directory: Directory): Promise<string | undefined> {
  const target = await readlink(directory.entry(LINK)).catch(() => undefined)
  return target !== undefined && VERSION.test(target) ? target : undefined
}

/** Replaces a link atomically, so that it exists at every moment. */
async function replaceLink(directory: Directory, name: string, target: string): Promise<void> {
  const temporary = directory.entry(`..l-${randomBytes(6).toString('hex')}`)
  try {
    await symlink(target, temporary)
    await rename(temporary, directory.entry(name))
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** Removes versions older than an hour. Another certcache may be writing a younger one at this moment. */
async function removeVersions(
  directory: Directory,
  current: string,
  previous: string | undefined,
): Promise<void> {
  const { mtimeMs: nowMs } = await lstat(directory.entry(current))
  for (const name of await readdir(directory.entry('.'))) {
    const isVersion = VERSION.test(name)
    if ((!isVersion && !TEMPORARY_LINK.test(name)) || name === current || name === previous)
      continue
    const stats = await lstat(directory.entry(name)).catch(() => undefined)
    if (stats === undefined || nowMs - stats.mtimeMs <= OLD_MS) continue
    const removed = isVersion ? removeVersion(directory, name) : unlink(directory.entry(name))
    await removed.catch(() => undefined)
  }
}

/** Removes our files and then the directory. A directory of this name with other files stays. */
async function removeVersion(directory: Directory, name: string): Promise<void> {
  const version = await openSubdirectory(directory, name)
  try {
    const names = await readdir(version.entry('.'))
    for (const each of names.filter((file) => VERSION_FILE.test(file)))
      await unlink(version.entry(each))
  } finally {
    await version.close()
  }
  await rmdir(directory.entry(name))
}

/**
 * Certificates and key as two files that change together. As Kubernetes does it for mounted secrets: both lie in a directory
 * of their own, one for each proxy, and the names that programs know are links through one link, which is replaced by
 * rename:
 *
 *     usercert.pem -> ..data/usercert.pem        ..data -> ..v-Ab3dEf        ..v-Ab3dEf/usercert.pem, userkey.pem
 *
 * At every moment, after a crash or on a full disk too, both names lead to the files of one proxy. A program that opens the
 * one before that rename and the other after it has two that do not fit, which it notices, and gets a pair when it reads
 * again; one that resolves `..data` first never has: the directory of the proxy before stays until a later renewal.
 */
import { randomInt, randomBytes } from 'node:crypto'
import { lstat, readdir, readlink, rename, rm, rmdir, symlink, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { toPem } from '../../../ca/pem.ts'
import { formatProxyFile, parseProxyFile } from '../../../ca/proxy-file.ts'
import { TtsError } from '../../base/errors.ts'
import {
  type Directory,
  makeSubdirectory,
  openSubdirectory,
  withDirectory,
} from '../../files/directory.ts'
import { writePrivateFileIn } from '../../files/private-file.ts'
import type { HeldProxy } from '../proxy-engine.ts'
import { unwritable } from './room.ts'
import { checkTarget, foreign, isAsWanted, type Owner, targetIn } from './targets.ts'

const LINK = '..data'
const VERSION = /^\.\.v-[A-Za-z0-9]{6}$/
const TEMPORARY_LINK = /^\.\.l-[0-9a-f]{12}$/
const OLD_MS = 3_600_000
/** What a version may hold: the pair, and what a killed certcache left of it. */
const VERSION_FILE = /^(userkey\.pem|usercert\.pem|\.tts-[\w-]{12}\.tmp)$/
const NAME_CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** Both files by their names. */
export type Pair = Readonly<Record<'userkey.pem' | 'usercert.pem', string>>

interface Wanted {
  readonly mode: number
  readonly owner: Owner | undefined
}

/** The proxy as two files. */
export function pairOf(proxy: HeldProxy): Pair {
  const { certificates, privateKey } = parseProxyFile(proxy.pem.toString('latin1'))
  const [first, ...chain] = certificates.map(({ der }) => der)
  if (first === undefined || privateKey === undefined)
    throw new TtsError('internal', 'the proxy in hand is not whole')
  return {
    'userkey.pem': toPem('PRIVATE KEY', privateKey.export({ type: 'pkcs8', format: 'der' })),
    'usercert.pem': formatProxyFile(first, undefined, chain),
  }
}

/** Whether the directory has this pair, by these links. @throws {TtsError} `configuration` for what is not ours */
export async function hasPair(directory: Directory, pair: Pair, wanted: Wanted): Promise<boolean> {
  let isThere = true
  // Both names are looked at, whatever the first is: nothing is begun beside what is not ours.
  for (const [name, content] of Object.entries(pair)) {
    const target = targetIn(directory, name)
    const isLinked = await checkName(directory, name, wanted.owner)
    const found = await checkTarget(target, wanted.owner)
    const isWanted = isLinked && found && (await isAsWanted(target, { content, ...wanted }))
    isThere &&= isWanted
  }
  return isThere
}

/**
 * Writes the pair, unless the directory has it.
 *
 * @returns whether anything was written
 * @throws {TtsError} `configuration`; the pair that was there stays
 */
export async function writePair(path: string, pair: Pair, wanted: Wanted): Promise<boolean> {
  const work = async (directory: Directory): Promise<boolean> => {
    if (await hasPair(directory, pair, wanted)) return false
    await replacePair(directory, pair, wanted)
    return true
  }
  return withDirectory(path, work, { make: 0o700 }).catch((error: unknown) => {
    throw error instanceof TtsError ? error : unwritable(path, error)
  })
}

async function replacePair(directory: Directory, pair: Pair, wanted: Wanted): Promise<void> {
  const before = await currentVersion(directory)
  const name = `..v-${Array.from({ length: 6 }, () => NAME_CHARACTERS[randomInt(NAME_CHARACTERS.length)]).join('')}`
  try {
    await writeVersion({ directory, name }, pair, wanted)
    await replaceLink(directory, LINK, name)
    // Once, in a directory where they were files: then the key goes first.
    for (const file of Object.keys(pair))
      if (!(await checkName(directory, file, wanted.owner)))
        await replaceLink(directory, file, `${LINK}/${file}`)
    await directory.file.sync()
    await removeVersions(directory, name, before)
  } catch (error) {
    if ((await currentVersion(directory)) !== name)
      await removeVersion(directory, name).catch(() => undefined)
    throw error
  }
}

async function writeVersion(
  { directory, name }: { readonly directory: Directory; readonly name: string },
  pair: Pair,
  { mode, owner }: Wanted,
): Promise<void> {
  const version = await makeSubdirectory(directory, name, 0o700)
  try {
    for (const [file, content] of Object.entries(pair))
      await writePrivateFileIn({ directory: version, name: file }, content, {
        mode,
        ...(owner ? { owner } : {}),
      }).catch((error: unknown) => {
        throw error instanceof TtsError && error.remedy === undefined
          ? unwritable(join(directory.path, file), error.cause)
          : error
      })
    // Who may read the files may reach them. Until here the directory was ours alone.
    await version.file.chmod((mode & 0o040) === 0 ? 0o700 : 0o750)
    if (owner) await version.file.chown(owner.uid, owner.gid)
  } finally {
    await version.close()
  }
}

/** True for our link, false for nothing or a file. @throws {TtsError} `configuration` for another link */
async function checkName(
  directory: Directory,
  name: string,
  owner: Owner | undefined,
): Promise<boolean> {
  const target = targetIn(directory, name)
  const found = await lstat(target.at).catch(() => undefined)
  if (found?.isSymbolicLink() !== true) {
    if (found !== undefined) await checkTarget(target, owner)
    return false
  }
  if ((await readlink(target.at)) === `${LINK}/${name}`) return true
  throw foreign(target.path, 'is a link to somewhere else', 'remove it, or name another directory')
}

async function currentVersion(directory: Directory): Promise<string | undefined> {
  const target = await readlink(directory.entry(LINK)).catch(() => undefined)
  return target !== undefined && VERSION.test(target) ? target : undefined
}

/** There is no moment without the link. */
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

/** Those of an hour ago. Younger ones may be another certcache's, which writes at this moment. */
async function removeVersions(
  directory: Directory,
  current: string,
  before: string | undefined,
): Promise<void> {
  const { mtimeMs: nowMs } = await lstat(directory.entry(current))
  for (const name of await readdir(directory.entry('.'))) {
    const isVersion = VERSION.test(name)
    if ((!isVersion && !TEMPORARY_LINK.test(name)) || name === current || name === before) continue
    const found = await lstat(directory.entry(name)).catch(() => undefined)
    if (found === undefined || nowMs - found.mtimeMs <= OLD_MS) continue
    const removed = isVersion ? removeVersion(directory, name) : unlink(directory.entry(name))
    await removed.catch(() => undefined)
  }
}

/** What is ours of it: another user's directory with other files under this name stays. */
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
